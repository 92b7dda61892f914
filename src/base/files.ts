import { randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errnoOf } from './errors.ts';

/**
 * Writes `path` so that after any crash it holds the old bytes or the new ones:
 * temporary file beside it, rename. With `durable` both are synced first, so
 * the new bytes also survive a power cut once this resolves.
 */
export async function writeFileAtomic(
  path: string,
  data: string | Uint8Array,
  options: { mode?: number; durable?: boolean } = {},
): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const file = await open(temporary, 'wx', options.mode ?? 0o644);
    await closeAfter(file, async () => {
      await file.writeFile(data);
      if (options.durable) await file.sync();
    });
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true });
    throw cause;
  }
  if (options.durable) await syncDirectory(dirname(path));
}

/** The text of `path`, or undefined where there is no such file. */
export async function readFileIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT' || errnoOf(cause) === 'ENOTDIR') return undefined;
    throw cause;
  }
}

/** Makes `path` and its parents; the directories that were missing get `mode`. */
export async function makeDirectory(path: string, mode = 0o711): Promise<void> {
  await mkdir(path, { recursive: true, mode });
}

/** The names in a directory; none where it is not there. */
export async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return [];
    throw cause;
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  await closeAfter(directory, () => directory.sync());
}

async function closeAfter(file: FileHandle, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } finally {
    await file.close();
  }
}
