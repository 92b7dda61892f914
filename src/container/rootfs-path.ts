import { constants } from 'node:fs';
import { readFile, readlink, stat } from 'node:fs/promises';
import { errnoOf, SkiffError } from '../base/errors.ts';
import { AT_FDCWD, native, O_PATH, RESOLVE } from '../os/native.ts';

/**
 * What `path` means inside `rootfs`, as an absolute path of the host without
 * symbolic links; undefined where there is nothing. Links of the image are
 * followed as the container would see them, so none leads out of `rootfs`.
 * Only safe to use while nothing runs in the container.
 */
export async function resolveInRoot(rootfs: string, path: string): Promise<string | undefined> {
  return withFile(rootfs, path, (handle) => readlink(handle));
}

/**
 * The text of the regular file `path` inside `rootfs`, undefined where there is
 * none. Anything else at that place, and a file above `limit` bytes, is an
 * error: an image may put a device or a pipe there.
 */
export async function readInRoot(rootfs: string, path: string, limit: number): Promise<string | undefined> {
  return withFile(rootfs, path, async (handle) => {
    const stats = await stat(handle);
    if (!stats.isFile())
      throw new SkiffError('failed_precondition', `read ${path} of the image: it is no regular file`);
    if (stats.size > limit)
      throw new SkiffError(
        'failed_precondition',
        `read ${path} of the image: it is larger than ${limit} bytes`,
      );
    return readFile(handle, 'utf8');
  });
}

/** Runs `work` with a path that leads to the file and to nothing else, whatever is renamed meanwhile. */
async function withFile<T>(
  rootfs: string,
  path: string,
  work: (handle: string) => Promise<T>,
): Promise<T | undefined> {
  const fd = openInRoot(rootfs, path);
  if (fd === undefined) return undefined;
  try {
    return await work(`/proc/self/fd/${fd}`);
  } finally {
    native().close(fd);
  }
}

/** An O_PATH descriptor, which opens no device and waits for no pipe. */
function openInRoot(rootfs: string, path: string): number | undefined {
  const root = native().openat2(AT_FDCWD, rootfs, O_PATH | constants.O_DIRECTORY, 0, 0);
  try {
    return native().openat2(root, path, O_PATH, 0, RESOLVE.IN_ROOT | RESOLVE.NO_MAGICLINKS);
  } catch (cause) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(errnoOf(cause) ?? '')) return undefined;
    throw cause;
  } finally {
    native().close(root);
  }
}
