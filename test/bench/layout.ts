import { createHash, randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { pack } from 'tar-stream';

/** A file of a layer: path without leading slash, mode, contents. */
export interface LayerFile {
  path: string;
  mode: number;
  content: Buffer;
}

interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
}

const OCI = 'application/vnd.oci.image';

/**
 * Writes an OCI image layout with one image `latest` of gzip layers (base first) and answers
 * `<directory>:latest`, as skopeo takes it (image-spec, image-layout.md).
 */
export async function writeImage(
  directory: string,
  layers: LayerFile[][],
  config: { Cmd: string[]; Env?: string[] },
): Promise<string> {
  await mkdir(join(directory, 'blobs/sha256'), { recursive: true });
  const put = async (mediaType: string, bytes: Buffer): Promise<Descriptor> => {
    const hex = createHash('sha256').update(bytes).digest('hex');
    await writeFile(join(directory, 'blobs/sha256', hex), bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
  };
  const diffIds: string[] = [];
  const packed: Descriptor[] = [];
  for (const files of layers) {
    const tar = await tarOf(files);
    diffIds.push(`sha256:${createHash('sha256').update(tar).digest('hex')}`);
    packed.push(await put(`${OCI}.layer.v1.tar+gzip`, await promisify(gzip)(tar, { level: 6 })));
  }
  const json = (value: object) => Buffer.from(JSON.stringify(value));
  const image = { architecture: process.arch === 'x64' ? 'amd64' : process.arch, os: 'linux' };
  const described = await put(
    `${OCI}.config.v1+json`,
    json({ ...image, config, rootfs: { type: 'layers', diff_ids: diffIds } }),
  );
  const mediaType = `${OCI}.manifest.v1+json`;
  const manifest = await put(
    mediaType,
    json({ schemaVersion: 2, mediaType, config: described, layers: packed }),
  );
  const annotations = { 'org.opencontainers.image.ref.name': 'latest' };
  await writeFile(
    join(directory, 'index.json'),
    json({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }),
  );
  await writeFile(join(directory, 'oci-layout'), json({ imageLayoutVersion: '1.0.0' }));
  return `${directory}:latest`;
}

/**
 * Layers of `files` files each, about 40 KiB a file, in a tree of directories; a third of each file
 * does not compress, as programs and their data on the whole.
 */
export function manyFiles(options: { layers: number; files: number }): LayerFile[][] {
  const text = Buffer.from('the quick brown fox jumps over the lazy dog; '.repeat(600));
  return Array.from({ length: options.layers }, (_, layer) =>
    Array.from({ length: options.files }, (_, file) => ({
      path: `srv/layer${layer}/d${file % 25}/file${file}`,
      mode: 0o644,
      content: Buffer.concat([randomBytes(13_000), text]),
    })),
  );
}

async function tarOf(files: LayerFile[]): Promise<Buffer> {
  const archive = pack();
  const made = new Set<string>();
  for (const { path, mode, content } of files) {
    const parts = path.split('/').slice(0, -1);
    for (const [index] of parts.entries()) {
      const name = parts.slice(0, index + 1).join('/');
      if (!made.has(name)) archive.entry({ name: `${name}/`, type: 'directory', mode: 0o755 });
      made.add(name);
    }
    archive.entry({ name: path, mode }, content);
  }
  archive.finalize();
  return Buffer.concat(await Array.fromAsync(archive as AsyncIterable<Buffer>));
}
