import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SkiffError } from '../base/errors.ts';
import { writeFileAtomic } from '../base/files.ts';
import { hexOf, verifyBytes } from './digest.ts';

/** Manifests, indexes and configurations by digest. Packed layers are not kept. */
export class Blobs {
  readonly directory: string;

  constructor(options: { root: string }) {
    this.directory = join(options.root, 'images', 'blobs');
  }

  /** Stores `bytes`, which the caller has verified. Durable with the next syncfs. */
  async put(digest: string, bytes: Uint8Array): Promise<void> {
    await writeFileAtomic(this.#path(digest), bytes, { mode: 0o600 });
  }

  /** The document, verified again: a disk may lie. */
  async get(digest: string): Promise<Buffer> {
    try {
      const bytes = await readFile(this.#path(digest));
      verifyBytes(bytes, digest, `stored document ${digest}`);
      return bytes;
    } catch (cause) {
      throw SkiffError.from(cause, `read stored document ${digest}`);
    }
  }

  async remove(digest: string): Promise<void> {
    await rm(this.#path(digest), { force: true });
  }

  /** Makes the directory and removes all that is not in `known`. */
  async recover(known: Set<string>): Promise<void> {
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
    const names = new Set([...known].map(hexOf));
    for (const name of await readdir(this.directory))
      if (!names.has(name)) await rm(join(this.directory, name), { force: true });
  }

  #path(digest: string): string {
    return join(this.directory, hexOf(digest));
  }
}
