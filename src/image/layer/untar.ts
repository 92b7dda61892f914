import { SkiffError } from '../../base/errors.ts';
import type { LayerEntry } from '../../os/layer-entry.ts';
import type { LayerWriter } from '../../os/layer-writer.ts';
import type { RecipeWriter } from './recipe.ts';
import { layerStep } from './tar-entry.ts';
import { type TarEntry, TarReader, type TarSink } from './tar-reader.ts';

/** Feeds an archive's bytes through the tar reader: each entry into a layer writer, in order, and all else into the recipe. */
export class Untar {
  readonly #writer: LayerWriter;
  readonly #recipe: RecipeWriter;
  readonly #reader: TarReader;

  constructor(deps: { writer: LayerWriter; recipe: RecipeWriter }) {
    this.#writer = deps.writer;
    this.#recipe = deps.recipe;
    this.#reader = new TarReader({
      entry: (entry) => this.#apply(entry),
      rest: (bytes) => this.#recipe.raw(bytes),
    });
  }

  /** Everything in `chunk` is written when this returns. */
  write(chunk: Uint8Array): void {
    const { buffer, byteOffset, byteLength } = chunk;
    this.#checked(() => this.#reader.write(Buffer.from(buffer, byteOffset, byteLength)));
  }

  /** The archive has ended; `data_loss` where that is too early. */
  end(): void {
    this.#checked(() => {
      this.#reader.end();
      this.#recipe.end();
    });
  }

  #apply(header: TarEntry): TarSink | undefined {
    const step = layerStep(header);
    if (step.kind === 'entry') return this.#add(step.entry);
    if (step.kind === 'whiteout') this.#writer.whiteout(step.path);
    if (step.kind === 'opaque') this.#writer.opaque(step.path);
    return undefined;
  }

  #add(entry: LayerEntry): TarSink | undefined {
    const sink = this.#writer.add(entry);
    if (sink !== undefined && entry.size > 0)
      this.#recipe.file(sink.path, entry.sparse ?? [{ offset: 0, length: entry.size }]);
    return sink;
  }

  #checked(work: () => void): void {
    try {
      work();
    } catch (cause) {
      if (cause instanceof SkiffError) throw cause;
      throw SkiffError.from(cause, 'read tar archive', 'data_loss');
    }
  }
}
