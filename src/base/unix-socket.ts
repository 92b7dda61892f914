import { rm } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { errnoOf, SkiffError } from './errors.ts';

/**
 * Makes `path` free for a server: a socket file that a dead daemon left behind
 * is removed. Fails with `failed_precondition` where somebody listens on it.
 */
export async function freeSocketPath(path: string): Promise<void> {
  if (await isListening(path)) {
    throw new SkiffError(
      'failed_precondition',
      `listen on ${path}: another process serves it; stop that daemon first`,
    );
  }
  await rm(path, { force: true });
}

/** Listens on the unix socket `path` with mode 0600 from its first instant. */
export async function listenPrivate(server: Server, path: string): Promise<void> {
  await freeSocketPath(path);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    // bind() runs within listen(): nobody can connect between it and a chmod.
    const before = process.umask(0o177);
    try {
      server.listen(path, () => {
        server.off('error', reject);
        resolve();
      });
    } finally {
      process.umask(before);
    }
  });
}

function isListening(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', (cause) => {
      if (['ECONNREFUSED', 'ENOENT', 'ENOTSOCK'].includes(errnoOf(cause) ?? '')) resolve(false);
      else reject(SkiffError.from(cause, `probe ${path}`));
    });
  });
}
