import { finished, type Readable, type Writable } from 'node:stream';

/** Pause after each chunk that is dropped: an endless one costs a few chunks a second. */
const DROP_PAUSE_MS = 50;

/**
 * Copies `from` into `to`, at the pace of the slower one, and ends `to` once
 * `from` has ended or broken. Where `to` breaks or ends by itself, the rest of
 * `from` is read and dropped, slowly, so that whoever writes it goes on.
 * Resolves when both are over; never rejects.
 */
export async function copyStream(from: Readable, to: Writable): Promise<void> {
  const read = new Promise<void>((resolve) => {
    finished(from, { writable: false }, () => {
      to.end();
      resolve();
    });
  });
  const written = new Promise<void>((resolve) => {
    finished(to, { readable: false }, () => {
      from.unpipe(to);
      drop(from);
      resolve();
    });
  });
  from.pipe(to, { end: false });
  await Promise.all([read, written]);
}

function drop(from: Readable): void {
  let timer: NodeJS.Timeout | undefined;
  from.on('data', () => {
    from.pause();
    timer = setTimeout(() => from.resume(), DROP_PAUSE_MS);
  });
  from.once('close', () => clearTimeout(timer));
  from.resume();
}
