import { Readable, Writable } from 'node:stream';
import { SkiffError } from '../base/errors.ts';
import { connectSocket, type ShimConnection } from './shim-connection.ts';
import { type AttachStreams, encodeStdin, encodeStdinEnd } from './shim-protocol.ts';

/**
 * A client of a container's stdio, on a connection of its own. Streams that were
 * not asked for are null; the others end when the container does, and when the
 * shim drops a reader that is too slow (256 KiB behind for 250 ms).
 */
export interface Attachment {
  /** Ending it tells the shim that this client's input is over; that closes a `stdinOnce` container's stdin. */
  stdin: Writable | null;
  stdout: Readable | null;
  stderr: Readable | null;
  /** Resolves when the connection has ended, whoever ended it. */
  closed: Promise<void>;
  close(): void;
}

/** Attaches to the container whose shim listens in `stateDir`; `unavailable` where none does. */
export async function attachShim(stateDir: string, streams: AttachStreams): Promise<Attachment> {
  if (!streams.stdin && !streams.stdout && !streams.stderr)
    throw new SkiffError('invalid_argument', 'attach: none of stdin, stdout and stderr is asked for');
  const connection = await connectSocket(stateDir);
  try {
    const stdout = streams.stdout ? outputOf(connection) : null;
    const stderr = streams.stderr ? outputOf(connection) : null;
    connection.onOutput = ({ type, bytes }) => {
      if ((type === 'stdout' ? stdout : stderr)?.push(bytes) === false) connection.socket.pause();
    };
    const closed = connection.exited.then(() => {
      stdout?.push(null);
      stderr?.push(null);
    });
    const refused = await connection.request({ type: 'attach', ...streams });
    if (refused !== undefined) throw new SkiffError('unavailable', `attach: the shim said ${refused}`);
    const stdin = streams.stdin ? inputOf(connection) : null;
    return { stdin, stdout, stderr, closed, close: () => connection.close() };
  } catch (cause) {
    connection.close();
    throw SkiffError.from(cause, 'attach', 'unavailable');
  }
}

/** Both streams come over one socket: it rests while either of them is full. */
function outputOf(connection: ShimConnection): Readable {
  return new Readable({
    read: () => {
      connection.socket.resume();
    },
  });
}

function inputOf(connection: ShimConnection): Writable {
  const { socket } = connection;
  const input = new Writable({
    write(chunk: Buffer, _encoding, done) {
      const frames = encodeStdin(chunk);
      frames.forEach((frame, at) => {
        socket.write(frame, at === frames.length - 1 ? done : undefined);
      });
      if (frames.length === 0) done();
    },
    final(done) {
      socket.write(encodeStdinEnd(), done);
    },
  });
  // The container may end while input is on its way: that is told by `closed`.
  input.on('error', () => undefined);
  socket.once('close', () => input.destroy());
  return input;
}
