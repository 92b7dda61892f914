import { SkiffError } from '../../base/errors.ts';
import type { LayerWriter } from '../../os/layer-writer.ts';
import { layerStep } from './tar-entry.ts';
import { type TarEntry, TarReader, type TarSink } from './tar-reader.ts';

/** Feeds an archive's bytes through the tar reader and each entry into a layer writer, in order. */
export class Untar {
  readonly #writer: LayerWriter;
  readonly #reader = new TarReader({ entry: (entry) => this.#apply(entry) });

  constructor(deps: { writer: LayerWriter }) {
    this.#writer = deps.writer;
  }

  /** Everything in `chunk` is written when this returns. */
  write(chunk: Uint8Array): void {
    const { buffer, byteOffset, byteLength } = chunk;
    this.#checked(() => this.#reader.write(Buffer.from(buffer, byteOffset, byteLength)));
  }

  /** The archive has ended; `data_loss` where that is too early. */
  end(): void {
    this.#checked(() => this.#reader.end());
  }

  #apply(header: TarEntry): TarSink | undefined {
    const step = layerStep(header);
    if (step.kind === 'entry') return this.#writer.add(step.entry);
    if (step.kind === 'whiteout') this.#writer.whiteout(step.path);
    if (step.kind === 'opaque') this.#writer.opaque(step.path);
    return undefined;
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
