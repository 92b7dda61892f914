import { SkiffError } from '../../base/errors.ts';
import { type LayerFacts, LayerWriter } from '../../os/layer-writer.ts';
import { inflate } from './inflate.ts';
import { RecipeWriter } from './recipe.ts';
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
  /** File that becomes the layer's recipe. */
  recipe: string;
  /** True while no other layer is unpacked, so that a second processor may be free to help. */
  alone: () => boolean;
}

/**
 * One pass: packed bytes -> digest -> decompressed -> diff id -> files. When it
 * resolves, both digests match; when it rejects, `directory` holds a part and is
 * the caller's to remove. `source` is called once; its signal aborts also where the
 * archive turns out to be bad, so that nobody waits for the rest of it.
 */
export async function unpack(
  source: (signal: AbortSignal) => AsyncIterable<Uint8Array>,
  options: UnpackOptions,
  signal: AbortSignal,
  onBytes: (count: number) => void,
): Promise<LayerFacts> {
  const { digest, size, diffId, alone } = options;
  const what = `layer ${digest}`;
  const over = new AbortController();
  const bytes = source(AbortSignal.any([signal, over.signal]));
  const packed = verified(bytes, { digest, size, what }, onBytes);
  const inflated = inflate(packed, { what, ahead: alone });
  const tar = verified(inflated, { digest: diffId, size: null, what: `${what}, unpacked,` });
  const writer = new LayerWriter(options.directory);
  const recipe = new RecipeWriter(options.recipe);
  const untar = new Untar({ writer, recipe });
  const step = (work: () => void) => {
    try {
      signal.throwIfAborted();
      work();
    } catch (cause) {
      over.abort(cause);
      if (signal.aborted) throw cause;
      // Damaged bytes may be no tar archive long before their digest is known: then too it is told of which layer they are.
      throw SkiffError.from(cause, `unpack ${what}`);
    }
  };
  try {
    for await (const chunk of tar) step(() => untar.write(chunk));
    step(() => untar.end());
    return writer.finish();
  } finally {
    writer.close();
    recipe.close();
  }
}
