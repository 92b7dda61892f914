import { open } from 'node:fs/promises';
import { type Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip, createZstdCompress } from 'node:zlib';
import { isCode, messageOf } from '../../base/errors.ts';
import { hashFor } from '../digest.ts';
import type { Packing, PackTask, VerifyTask } from './protocol.ts';
import { assemble } from './recipe.ts';
import { verified } from './verify.ts';

const CHUNK = 256 << 10;

/** What is wrong with the layer on disk, null where it is byte for byte what was pulled. */
export async function verifyLayer(task: VerifyTask, signal: AbortSignal): Promise<string | null> {
  try {
    for await (const _ of archiveOf(task)) signal.throwIfAborted();
    return null;
  } catch (cause) {
    if (isCode(cause, 'data_loss')) return messageOf(cause);
    throw cause;
  }
}

/** Writes the layer's archive, verified and packed, to `task.file`: digest and bytes of that. */
export async function packLayer(
  task: PackTask,
  signal: AbortSignal,
): Promise<{ digest: string; size: number }> {
  const hash = hashFor('sha256:');
  let size = 0;
  const count = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      size += chunk.length;
      done(null, chunk);
    },
  });
  const file = await open(task.file, 'wx', 0o600);
  const packer = packerOf(task.packing);
  const out = file.createWriteStream();
  if (packer === null) await pipeline(copies(archiveOf(task)), count, out, { signal });
  else await pipeline(copies(archiveOf(task)), packer, count, out, { signal });
  return { digest: `sha256:${hash.digest('hex')}`, size };
}

function archiveOf({ recipe, directory, diffId }: VerifyTask | PackTask): AsyncGenerator<Uint8Array> {
  const expected = { digest: diffId, size: null, what: `layer ${diffId} on disk` };
  return verified(assemble(recipe, directory), expected);
}

function packerOf(packing: Packing): (Readable & NodeJS.ReadWriteStream) | null {
  if (packing === 'gzip') return createGzip({ level: 4, chunkSize: CHUNK });
  if (packing === 'zstd') return createZstdCompress({ chunkSize: CHUNK });
  return null;
}

/** Streams keep what they are given for a while. */
async function* copies(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  for await (const chunk of source) yield Buffer.from(chunk);
}
