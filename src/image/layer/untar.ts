import type { Extract, Header } from 'tar-stream';
import { SkiffError } from '../../base/errors.ts';
import type { LayerWriter } from '../../os/layer-writer.ts';
import { layerStep, type TarHeader } from './tar-entry.ts';
import { tarReader } from './tar-reader.ts';

type EntryStream = { on(event: 'data', listener: (chunk: Uint8Array) => void): unknown } & {
  on(event: 'end' | 'error', listener: () => void): unknown;
};

const BLOCK = 512;

/** Feeds an archive's bytes through tar-stream and each entry into a layer writer, in order. */
export class Untar {
  readonly #writer: LayerWriter;
  readonly #extract: Extract;
  readonly #closed: Promise<void>;
  #failure: unknown;
  #received = 0;
  /** Between a file's first byte and its last. */
  #inFile = false;

  constructor(deps: { writer: LayerWriter }) {
    this.#writer = deps.writer;
    this.#extract = tarReader();
    this.#extract.on('entry', (header, stream, next) =>
      this.#entry(header, stream as unknown as EntryStream, next),
    );
    this.#closed = new Promise((resolve) => {
      this.#extract.on('error', (cause: unknown) => {
        this.#failure ??= cause;
      });
      this.#extract.on('close', () => resolve());
    });
  }

  /** Resolves when there is room for more. */
  async write(chunk: Uint8Array): Promise<void> {
    this.#received += chunk.byteLength;
    if (this.#failure === undefined && !this.#extract.write(chunk))
      await Promise.race([
        new Promise<void>((resolve) => this.#extract.once('drain', () => resolve())),
        this.#closed,
      ]);
    this.#check();
  }

  /** The archive has ended: all entries are written when this resolves. */
  async end(): Promise<void> {
    // umoci leaves the padding of the last file out, and Go's archive/tar takes that for the archive's end.
    const padding = this.#inFile ? 0 : -this.#received & (BLOCK - 1);
    this.#extract.end(padding === 0 ? undefined : Buffer.alloc(padding));
    await this.#closed;
    this.#check();
  }

  destroy(): void {
    this.#extract.destroy();
  }

  #entry(header: Header, stream: EntryStream, next: () => void): void {
    stream.on('error', () => undefined);
    this.#guarded(() => {
      const sink = this.#apply(header as TarHeader);
      // Without data the entry's stream needs no reader.
      if (header.size === 0 || header.type === 'directory') {
        next();
        return;
      }
      let left = header.size;
      this.#inFile = true;
      stream.on('data', (chunk) =>
        this.#guarded(() => {
          left -= chunk.byteLength;
          this.#inFile = left > 0;
          sink?.write(chunk);
        }),
      );
      stream.on('end', () =>
        this.#guarded(() => {
          sink?.end();
          next();
        }),
      );
    });
  }

  #apply(header: TarHeader) {
    const step = layerStep(header);
    if (step.kind === 'entry') return this.#writer.add(step.entry);
    if (step.kind === 'whiteout') this.#writer.whiteout(step.path);
    if (step.kind === 'opaque') this.#writer.opaque(step.path);
    return undefined;
  }

  /** The first failure ends everything: an entry after it must not be written. */
  #guarded(work: () => void): void {
    if (this.#failure !== undefined) return;
    try {
      work();
    } catch (cause) {
      this.#failure = cause;
      this.#extract.destroy(cause instanceof Error ? cause : new Error(String(cause)));
    }
  }

  #check(): void {
    if (this.#failure === undefined) return;
    if (this.#failure instanceof SkiffError) throw this.#failure;
    throw SkiffError.from(this.#failure, 'read tar archive', 'data_loss');
  }
}
