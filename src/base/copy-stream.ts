import { finished, type Readable, type Writable } from 'node:stream';

/**
 * Copies `from` into `to`, at the pace of the slower one, and ends `to` once
 * `from` has ended or broken. Where `to` breaks or ends by itself, the rest of
 * `from` is read and dropped, so that whoever writes it goes on. Resolves when
 * both are over; never rejects.
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
      from.resume();
      resolve();
    });
  });
  from.pipe(to, { end: false });
  await Promise.all([read, written]);
}
