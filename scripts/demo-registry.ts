/**
 * A registry with one image, made from this machine's own static busybox: what
 * scripts/up.sh pulls where no image is named, without the internet and without
 * further packages. Read-only, plain HTTP on 127.0.0.1 (distribution-spec,
 * "Pulling manifests" and "Pulling blobs"). Prints the image's reference when it
 * listens, and ends on SIGTERM.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { type Pack, pack } from 'tar-stream';

const PORT = 5088;
const USAGE = `usage: node scripts/demo-registry.ts [-h]

Serves 127.0.0.1:${PORT} (another port where that is taken): skiff/demo:latest, an image of this machine's static busybox
whose container answers HTTP on port 80, until SIGTERM. Prints the reference.`;

const INDEX_PAGE = 'hello from a pod that skiff runs\n';
const START = "echo 'serving /www on port 80'; exec httpd -f -vv -p 80 -h /www";
const PLACES = ['/bin/busybox', '/usr/bin/busybox'];

interface Blob {
  type: string;
  bytes: Buffer;
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

function findBusybox(): string {
  const path = PLACES.find((place) => existsSync(place));
  if (path === undefined) throw new Error('there is no busybox here: run scripts/setup.sh');
  return path;
}

/** The one layer, uncompressed: busybox with a hard link per applet, a user, a page. */
async function layer(busybox: string, applets: string[]): Promise<Buffer> {
  const archive = pack();
  const add = (header: Parameters<Pack['entry']>[0], content: string | Buffer = '') =>
    archive.entry({ mode: 0o755, mtime: new Date(0), ...header }, content);
  for (const name of ['bin', 'etc', 'www']) add({ name: `${name}/`, type: 'directory' });
  add({ name: 'tmp/', type: 'directory', mode: 0o1777 });
  add({ name: 'bin/busybox' }, readFileSync(busybox));
  for (const applet of applets.filter((name) => name !== 'busybox'))
    add({ name: `bin/${applet}`, type: 'link', linkname: 'bin/busybox' });
  add({ name: 'etc/passwd', mode: 0o644 }, 'root:x:0:0::/:/bin/sh\nwww:x:1000:1000::/www:/bin/sh\n');
  add({ name: 'etc/group', mode: 0o644 }, 'root:x:0:\nwww:x:1000:\n');
  add({ name: 'www/index.html', mode: 0o644 }, INDEX_PAGE);
  archive.finalize();
  return Buffer.concat(await Array.fromAsync(archive as AsyncIterable<Buffer>));
}

/** Everything that the registry serves, by digest, and the manifest's digest. */
async function makeImage(): Promise<{ blobs: Map<string, Blob>; manifest: string }> {
  const blobs = new Map<string, Blob>();
  const keep = (type: string, bytes: Buffer) => {
    const digest = digestOf(bytes);
    blobs.set(digest, { type, bytes });
    return { mediaType: type, digest, size: bytes.length };
  };
  const busybox = findBusybox();
  const applets = execFileSync(busybox, ['--list'], { encoding: 'utf8' }).trim().split('\n');
  if (!applets.includes('httpd'))
    throw new Error(`${busybox} has no httpd: give up.sh an image instead, such as scripts/up.sh nginx`);
  const tar = await layer(busybox, applets);
  const packed = keep('application/vnd.oci.image.layer.v1.tar+gzip', gzipSync(tar));
  const config = keep(
    'application/vnd.oci.image.config.v1+json',
    Buffer.from(
      JSON.stringify({
        architecture: process.arch === 'x64' ? 'amd64' : process.arch,
        os: 'linux',
        config: { User: 'www', Env: ['PATH=/bin'], Cmd: ['/bin/sh', '-c', START], WorkingDir: '/www' },
        rootfs: { type: 'layers', diff_ids: [digestOf(tar)] },
      }),
    ),
  );
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = keep(
    mediaType,
    Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers: [packed] })),
  );
  return { blobs, manifest: manifest.digest };
}

function send(response: ServerResponse, blob: Blob | undefined, digest: string, head: boolean): void {
  if (blob === undefined) {
    response.writeHead(404, { 'content-type': 'application/json' });
    response.end('{"errors":[{"code":"NOT_FOUND","message":"not in this registry"}]}');
    return;
  }
  response.writeHead(200, {
    'content-type': blob.type,
    'content-length': blob.bytes.length,
    'docker-content-digest': digest,
  });
  response.end(head ? undefined : blob.bytes);
}

if (parseArgs({ options: { help: { type: 'boolean', short: 'h' } } }).values.help) {
  console.log(USAGE);
} else {
  const { blobs, manifest } = await makeImage();
  const server = createServer((request, response) => {
    const [, , kind, wanted = ''] =
      /^\/v2\/(skiff\/demo\/(manifests|blobs)\/([^/]+))?$/.exec(request.url ?? '') ?? [];
    if (kind === undefined && request.url === '/v2/') {
      response.end('{}');
      return;
    }
    const digest = kind === 'manifests' && wanted === 'latest' ? manifest : wanted;
    send(response, blobs.get(digest), digest, request.method === 'HEAD');
  });
  server.on('listening', () => {
    const { port } = server.address() as AddressInfo;
    console.log(`127.0.0.1:${port}/skiff/demo:latest`);
  });
  // The same port each time, where it is free: then the image keeps its name.
  server.once('error', () => server.listen(0, '127.0.0.1'));
  server.listen(PORT, '127.0.0.1');
}
