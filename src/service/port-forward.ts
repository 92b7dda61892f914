import type { Duplex } from 'node:stream';
import { copyStream } from '../base/copy-stream.ts';
import { dialLoopback } from '../os/dial.ts';
import type { SandboxRow } from '../sandbox/types.ts';

/** How long one side may still send when the other has ended and taken all. */
const LINGER_MS = 1000;

/** PortForward: one connection of a client to a port of a pod; pods on the host's network have the host's ports. */
export async function portForward(row: SandboxRow, port: number, data: Duplex): Promise<void> {
  const socket = await dialLoopback(row.namespaces.net, port);
  let timer: NodeJS.Timeout | undefined;
  socket.on('error', () => undefined);
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  void closed.then(() => clearTimeout(timer));
  data.once('close', () => {
    // A client that broke off takes the connection along; what one that ended had sent still goes out.
    if (!data.readableEnded) socket.destroy();
    else timer ??= setTimeout(() => socket.destroy(), LINGER_MS);
  });
  const toPod = copyStream(data, socket);
  await copyStream(socket, data);
  // The pod's side is over: clients wait for the end of the forwarding before they end theirs.
  timer ??= setTimeout(() => socket.destroy(), LINGER_MS);
  await Promise.race([toPod, closed]);
}
