import type { IncomingMessage, ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import { digestOf } from '../../../src/image/digest.ts';
import { archive, tarEntry } from '../../unit/image/layer/archive.ts';
import { ScriptedRegistry } from '../../unit/image/registry/server.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

/** Bytes with the descriptor that a manifest has for them. */
export interface Blob {
  bytes: Buffer;
  mediaType: string;
  digest: string;
  size: number;
}

function blob(bytes: Buffer, mediaType: string): Blob {
  return { bytes, mediaType, digest: digestOf(bytes), size: bytes.length };
}

/** What an image is made of; the manifest is made of what the other parts say of themselves. */
export interface Parts {
  layer: Blob;
  config: Blob;
  manifest: Buffer;
}

/** An image of one gzip layer of random bytes, `size` long. */
export function imageOf(
  data: Buffer,
  lie: { diffId?: string; layer?: Partial<Blob>; config?: Partial<Blob> } = {},
): Parts {
  const tar = archive(tarEntry({ name: 'file', data }));
  const layer = {
    ...blob(gzipSync(tar, { level: 1 }), `${'application/vnd.oci.image.layer.v1.tar'}+gzip`),
    ...lie.layer,
  };
  const diffIds = [lie.diffId ?? digestOf(tar)];
  const json = {
    os: 'linux',
    architecture: 'amd64',
    config: {},
    rootfs: { type: 'layers', diff_ids: diffIds },
  };
  const bytes = Buffer.from(JSON.stringify(json));
  const config = { ...blob(bytes, 'application/vnd.oci.image.config.v1+json'), ...lie.config };
  const describe = ({ mediaType, digest, size }: Blob) => ({ mediaType, digest, size });
  const manifest = {
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: describe(config),
    layers: [describe(layer)],
  };
  return { layer, config, manifest: Buffer.from(JSON.stringify(manifest)) };
}

export const STAGES = ['root', 'manifest', 'config', 'layer'] as const;
export type Stage = (typeof STAGES)[number];

/** A registry that serves one image as `app:1` and misbehaves where a test tells it. */
export class HostileRegistry implements AsyncDisposable {
  readonly server: ScriptedRegistry;
  #parts: Parts;

  private constructor(server: ScriptedRegistry, parts: Parts) {
    this.server = server;
    this.#parts = parts;
  }

  static async start(parts: Parts): Promise<HostileRegistry> {
    const registry = new HostileRegistry(await ScriptedRegistry.start(), parts);
    registry.serve(parts);
    return registry;
  }

  get image(): string {
    return `${this.server.host}/app:1`;
  }

  /** Serves `parts` as they should be, all misbehaviour ended. */
  serve(parts: Parts): void {
    this.#parts = parts;
    this.server.on('/v2/', (_, response) => response.end());
    for (const stage of ['manifest', 'config', 'layer'] as const)
      this.server.on(this.path(stage), this.honest(stage));
  }

  /** What `stage` answers from now on. */
  on(stage: Stage, handler: Handler): void {
    this.server.on(this.path(stage), handler);
  }

  path(stage: Stage): string {
    if (stage === 'root') return '/v2/';
    return stage === 'manifest' ? '/v2/app/manifests/1' : `/v2/app/blobs/${this.#parts[stage].digest}`;
  }

  /** The handler that answers as it should. */
  honest(stage: Stage): Handler {
    const bytes = this.bytes(stage);
    return (_, response) => {
      if (stage === 'manifest') response.setHeader('content-type', MANIFEST);
      response.end(bytes);
    };
  }

  bytes(stage: Stage): Buffer {
    if (stage === 'root') return Buffer.from('{}');
    return stage === 'manifest' ? this.#parts.manifest : this.#parts[stage].bytes;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.server[Symbol.asyncDispose]();
  }
}

/** Sends for ever. */
export function endless(_: IncomingMessage, response: ServerResponse): void {
  const chunk = Buffer.alloc(1 << 20, 'x');
  const more = () => {
    while (!response.destroyed && response.write(chunk));
  };
  response.on('drain', more);
  more();
}
