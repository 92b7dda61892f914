import { SkiffError } from '../base/errors.ts';
import { native } from './native.ts';

/**
 * Removes `path` and all below it; nothing there is fine. Never follows a
 * symbolic link and never enters a mount: what is still mounted below `path`
 * fails it, after all else has gone.
 */
export async function removeTree(path: string): Promise<void> {
  try {
    await native().removeTree(path);
  } catch (cause) {
    throw SkiffError.from(cause, `remove ${path}`);
  }
}

/** Bytes on disk and inodes of the tree at `path`, each inode once, without what is mounted below it. Rejects with the errno's error. */
export function diskUsage(path: string): Promise<{ bytes: number; inodes: number }> {
  return native().diskUsage(path);
}
