import { createReadStream, createWriteStream } from 'node:fs';
import { type FileHandle, lstat, open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { errnoOf, SkiffError } from '../../base/errors.ts';
import { compressionOf, inflate } from '../layer/inflate.ts';
import { decodePax } from '../layer/pax.ts';
import { cleanPath } from '../layer/tar-entry.ts';
import { BLOCK, isZero, readHeader } from '../layer/tar-header.ts';

/** Where the bytes of one file lie. */
export interface Extent {
  file: string;
  offset: number;
  size: number;
}

/** The files of an image archive or layout directory, by name. */
export interface ArchiveFiles {
  /** For messages. */
  readonly path: string;
  /** Undefined where there is none of that name. */
  find(name: string): Promise<Extent | undefined>;
}

const MAX_DOCUMENT = 16 << 20;
const MAX_META = 1 << 20;
/** Links within an archive that lead to another one: older `docker save` wrote a layer of several images so. */
const MAX_LINKS = 8;

/**
 * The files of a directory or a tar archive at `path`, an absolute one. A compressed archive is
 * decompressed to the file `scratch` first, which is the caller's to remove.
 */
export async function openArchive(path: string, scratch: string): Promise<ArchiveFiles> {
  try {
    if ((await stat(path)).isDirectory()) return directoryFiles(path);
    const plain = await decompressed(path, scratch);
    const index = await indexOf(plain);
    return {
      path,
      find: async (name) => {
        const found = index.get(cleanPath(name));
        return found === undefined ? undefined : { file: plain, ...found };
      },
    };
  } catch (cause) {
    throw SkiffError.from(cause, `read ${path}`, 'failed_precondition');
  }
}

/** All of a small file; `not_found` where there is none. */
export async function readDocument(files: ArchiveFiles, name: string): Promise<Buffer> {
  const extent = await files.find(name);
  if (extent === undefined) throw new SkiffError('not_found', `read ${files.path}: it has no ${name}`);
  if (extent.size > MAX_DOCUMENT)
    throw new SkiffError(
      'failed_precondition',
      `read ${name} of ${files.path}: ${extent.size} bytes are too many`,
    );
  const handle = await open(extent.file, 'r');
  try {
    return await readAt(handle, extent.offset, extent.size);
  } finally {
    await handle.close();
  }
}

/** The first bytes of a file. */
export async function headOf(extent: Extent): Promise<Buffer> {
  const handle = await open(extent.file, 'r');
  try {
    return await readAt(handle, extent.offset, Math.min(4, extent.size));
  } finally {
    await handle.close();
  }
}

function directoryFiles(path: string): ArchiveFiles {
  return {
    path,
    find: async (name) => {
      const file = join(path, cleanPath(name));
      try {
        return { file, offset: 0, size: (await stat(file)).size };
      } catch (cause) {
        if (errnoOf(cause) === 'ENOENT') return undefined;
        throw cause;
      }
    },
  };
}

async function decompressed(path: string, scratch: string): Promise<string> {
  const { size } = await lstat(path);
  const packed = compressionOf(await headOf({ file: path, offset: 0, size })) !== 'none';
  if (!packed) return path;
  const what = `archive ${path}`;
  async function* plain() {
    for await (const chunk of inflate(createReadStream(path), { what, ahead: () => true }))
      yield Buffer.from(chunk);
  }
  await pipeline(plain, createWriteStream(scratch, { flags: 'wx', mode: 0o600 }));
  return scratch;
}

/** Reads the headers only: the data of layers are skipped. */
async function indexOf(file: string): Promise<Map<string, { offset: number; size: number }>> {
  const handle = await open(file, 'r');
  const files = new Map<string, { offset: number; size: number }>();
  const links = new Map<string, string>();
  let longName: string | undefined;
  try {
    const end = (await handle.stat()).size;
    for (let at = 0; at + BLOCK <= end; ) {
      const block = await readAt(handle, at, BLOCK);
      if (isZero(block)) break;
      const header = readHeader(block);
      const data = at + BLOCK;
      const meta = async () => readAt(handle, data, Math.min(header.size, MAX_META));
      if (header.type === 'x') longName = decodePax(await meta()).path ?? longName;
      else if (header.type === 'L') longName = (await meta()).toString('latin1').replace(/\0.*$/s, '');
      else {
        const name = cleanPath(longName ?? header.name);
        longName = undefined;
        if (header.type === '0') files.set(name, { offset: data, size: header.size });
        else if (header.type === '2') links.set(name, cleanPath(`${name}/../${header.linkname}`));
        else if (header.type === '1') links.set(name, cleanPath(header.linkname));
      }
      at = data + header.size + (-header.size & (BLOCK - 1));
    }
  } finally {
    await handle.close();
  }
  for (const [name, target] of links) {
    let to = target;
    for (let hop = 0; hop < MAX_LINKS && links.has(to); hop++) to = links.get(to) ?? to;
    const found = files.get(to);
    if (found !== undefined) files.set(name, found);
  }
  return files;
}

async function readAt(handle: FileHandle, offset: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await handle.read(buffer, 0, length, offset);
  if (bytesRead < length) throw new SkiffError('data_loss', 'it ends too early');
  return buffer;
}
