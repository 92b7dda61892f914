import { SkiffError } from '../../base/errors.ts';
import { type LayerFacts, LayerWriter } from '../../os/layer-writer.ts';
import { inflate } from './inflate.ts';
import { Untar } from './untar.ts';
import { verified } from './verify.ts';

export interface UnpackOptions {
  /** Digest and bytes of the packed layer. */
  digest: string;
  size: number;
  /** Digest of the tar stream. */
  diffId: string;
  /** Empty directory that becomes the layer. */
  directory: string;
}

/**
 * One pass: packed bytes -> digest -> decompressed -> diff id -> files. When it
 * resolves, both digests match; when it rejects, `directory` holds a part and is
 * the caller's to remove.
 */
export async function unpack(
  source: AsyncIterable<Uint8Array>,
  options: UnpackOptions,
  signal: AbortSignal,
  onBytes: (count: number) => void,
): Promise<LayerFacts> {
  const what = `layer ${options.digest}`;
  const packed = verified(source, { digest: options.digest, size: options.size, what }, onBytes);
  const tar = verified(inflate(packed, what), {
    digest: options.diffId,
    size: null,
    what: `${what}, unpacked,`,
  });
  const writer = new LayerWriter(options.directory);
  const untar = new Untar({ writer });
  try {
    for await (const chunk of tar) {
      signal.throwIfAborted();
      of(what, () => untar.write(chunk));
    }
    of(what, () => untar.end());
    return writer.finish();
  } finally {
    writer.close();
  }
}

/** Damaged bytes may be no tar archive long before their digest is known: then too it is told of which layer they are. */
function of(what: string, step: () => void): void {
  try {
    step();
  } catch (cause) {
    throw SkiffError.from(cause, `unpack ${what}`);
  }
}
