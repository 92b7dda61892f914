import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  createReadStream,
  createWriteStream,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { after, before, describe, it, type TestContext } from 'node:test';
import { createGzip, gunzipSync, zstdCompressSync } from 'node:zlib';
import { type ErrorCode, SkiffError } from '../../../src/base/errors.ts';
import { digestOf } from '../../../src/image/digest.ts';
import { native } from '../../../src/os/native.ts';
import { manyFiles, writeImage } from '../../bench/layout.ts';
import { TestRegistry } from '../../harness/registry.ts';
import { archive, END, paxEntry, tarEntry } from '../../unit/image/layer/archive.ts';
import { ImageNode, listTree, NOTHING, withMounted } from './fixture.ts';

const FILES = Number(process.env.SKIFF_ZOO_FILES ?? 100_000);
const BOMB = Number(process.env.SKIFF_ZOO_BOMB ?? 4 * 2 ** 30);
/** How much the process may grow over any of it. */
const FLAT = 90 << 20;
const quiet = { signal: new AbortController().signal, progress: () => undefined };

let directory: string;
let node: ImageNode;
let count = 0;

before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'sk-zoo-'));
  node = await ImageNode.start();
  // The first import loads what every later one uses.
  const path = await layout(archive(tarEntry({ name: 'a', data: Buffer.alloc(3 << 20) })));
  await node.images.import({ path, name: 'warm' }, quiet);
  await node.images.remove('warm');
});
after(async () => {
  await node.stop();
  rmSync(directory, { recursive: true });
});

/** An OCI layout of one image `latest`, whose only layer is this archive, packed as gzip. */
async function layout(tar: Buffer | (() => Iterable<Buffer>)): Promise<string> {
  const path = join(directory, `layout${++count}`);
  const blobs = join(path, 'blobs/sha256');
  mkdirSync(blobs, { recursive: true });
  const put = (mediaType: string, content: Buffer) => {
    const digest = digestOf(content);
    writeFileSync(join(blobs, digest.slice(7)), content);
    return { mediaType: `application/vnd.oci.image.${mediaType}`, digest, size: content.length };
  };
  const diffId = createHash('sha256');
  function* chunks() {
    for (const chunk of Buffer.isBuffer(tar) ? [tar] : tar()) {
      diffId.update(chunk);
      yield chunk;
    }
  }
  const packed = join(path, 'packed');
  await pipeline(chunks, createGzip({ level: 1, chunkSize: 1 << 18 }), createWriteStream(packed));
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(packed)) hash.update(chunk);
  const hex = hash.digest('hex');
  execFileSync('mv', [packed, join(blobs, hex)]);
  const layer = {
    mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
    digest: `sha256:${hex}`,
    size: statSync(join(blobs, hex)).size,
  };
  const json = (value: object) => Buffer.from(JSON.stringify(value));
  const rootfs = { type: 'layers', diff_ids: [`sha256:${diffId.digest('hex')}`] };
  const config = put('config.v1+json', json({ os: 'linux', architecture: 'amd64', rootfs }));
  const manifest = put('manifest.v1+json', json({ schemaVersion: 2, config, layers: [layer] }));
  writeFileSync(join(path, 'index.json'), json({ schemaVersion: 2, manifests: [manifest] }));
  return path;
}

/** How much this process, workers and all, has grown at most while `work` ran. */
async function growth(t: TestContext, work: () => Promise<void>): Promise<void> {
  const start = process.memoryUsage.rss();
  let most = start;
  const timer = setInterval(() => {
    most = Math.max(most, process.memoryUsage.rss());
  }, 20);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  t.diagnostic(`memory grew by ${Math.round((most - start) / 2 ** 20)} MiB`);
  assert.ok(most - start < FLAT, `memory grew by ${most - start} bytes`);
}

async function refused(path: string, code: ErrorCode, message: RegExp, on = node): Promise<void> {
  await assert.rejects(on.images.import({ path, name: 'zoo' }, quiet), (error: unknown) => {
    assert.ok(error instanceof SkiffError);
    assert.match(error.message, message);
    assert.equal(error.code, code);
    return true;
  });
  assert.deepEqual(await on.counts(), NOTHING);
}

describe('an archive of', () => {
  it(`${FILES} empty files is unpacked and removed`, async (t) => {
    const path = await layout(function* () {
      for (let n = 0; n < FILES; n += 1000)
        yield Buffer.concat(
          Array.from({ length: 1000 }, (_, i) => tarEntry({ name: `d${n / 1000}/f${n + i}` })),
        );
      yield END;
    });
    await growth(t, async () => {
      await node.images.import({ path, name: 'zoo' }, quiet);
      assert.ok((await node.images.usage()).inodesUsed > FILES);
      await node.images.remove('zoo');
    });
    assert.deepEqual(await node.counts(), NOTHING);
  });

  it('a pax header of 1 GiB', async (t) => {
    const path = await layout(function* () {
      yield tarEntry({ name: 'pax', type: 'x', size: 2 ** 30 }).subarray(0, 512);
      for (let n = 0; n < 1024; n++) yield Buffer.alloc(1 << 20, 'x');
    });
    await growth(t, () =>
      refused(path, 'data_loss', /a header of 1073741824 bytes before an entry is not taken/),
    );
  });

  it('pax headers without end before one entry', async (t) => {
    const path = await layout(function* () {
      const one = tarEntry({
        name: 'pax',
        type: 'x',
        data: Buffer.from('30 comment=xxxxxxxxxxxxxxxxx\n'.padEnd(30)),
      });
      for (let n = 0; n < 4000; n++)
        yield Buffer.concat(Array.from({ length: 50 }, () => one.subarray(0, 1024)));
    });
    await growth(t, () => refused(path, 'data_loss', /pax header|middle of an entry/));
  });

  it(`${BOMB} bytes of nothing behind its end takes no room`, async (t) => {
    const zeros = Buffer.alloc(1 << 20);
    const path = await layout(function* () {
      yield archive(tarEntry({ name: 'a' }));
      for (let n = 0; n < BOMB; n += zeros.length) yield zeros;
    });
    await growth(t, async () => {
      await node.images.import({ path, name: 'zoo' }, quiet);
      const { usedBytes } = await node.images.usage();
      assert.ok(usedBytes < 4 << 20, `${usedBytes} bytes on disk`);
      await node.images.remove('zoo');
    });
  });

  it('a file that is larger than the disk', async (t) => {
    const root = mkdtempSync(join(tmpdir(), 'sk-small-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=48m', 'tmpfs', root]);
    const small = await ImageNode.start({}, root);
    try {
      const path = await layout(function* () {
        yield tarEntry({ name: 'bomb', size: 2 ** 31 }).subarray(0, 512);
        for (let n = 0; n < 2048; n++) yield Buffer.alloc(1 << 20);
        yield END;
      });
      await growth(t, () => refused(path, 'resource_exhausted', /write "\/bomb": ENOSPC/, small));
    } finally {
      await small.close();
      execFileSync('umount', [root]);
      rmSync(root, { recursive: true });
    }
  });

  it('an end in the middle of a header, of a file, of a pax header', async () => {
    const whole = archive(
      tarEntry({ name: 'a', data: Buffer.from('a') }),
      paxEntry({ path: 'long' }, { name: 'b', data: Buffer.alloc(2000) }),
    );
    for (const cut of [1024 + 300, 1024 + 512 + 100, 2048 + 512 + 700])
      await refused(await layout(whole.subarray(0, cut)), 'data_loss', /ends in the middle of an entry/);
  });

  it('links in a circle as directories', async () => {
    const link = (name: string, linkname: string) => tarEntry({ name, type: '2', linkname });
    const circle = archive(link('a', 'b'), link('b', 'a'), tarEntry({ name: 'a/file' }));
    await refused(await layout(circle), 'failed_precondition', /"\/a".*too many symbolic links/);
  });
});

describe('through a registry', () => {
  let registry: TestRegistry;
  before(async () => {
    registry = await TestRegistry.start();
  });
  after(() => registry.stop());

  it('layers of several zstd frames with skippable ones in between are the tree of the gzip form', async () => {
    const gzip = await writeImage(join(directory, 'gzip'), manyFiles({ layers: 3, files: 30 }), {
      Cmd: ['/x'],
    });
    execFileSync('cp', ['-r', join(directory, 'gzip'), join(directory, 'zstd')]);
    repack(join(directory, 'zstd'), (packed) => {
      const tar = gunzipSync(packed);
      const half = Math.floor(tar.length / 2);
      const skippable = Buffer.from('5a2a4d1805000000aabbccddee', 'hex');
      const frames = [tar.subarray(0, half), tar.subarray(half)].map((part) => zstdCompressSync(part));
      return Buffer.concat([skippable, frames[0] ?? END, skippable, frames[1] ?? END, skippable]);
    });
    await registry.push(gzip, 'zoo:gzip');
    // Else skopeo takes what begins with a skippable frame for unpacked, and packs it.
    await registry.push(`${join(directory, 'zstd')}:latest`, 'zoo:zstd', ['--preserve-digests']);
    const trees = [];
    for (const tag of ['gzip', 'zstd']) {
      await node.pull(`${registry.host}/zoo:${tag}`);
      const row = node.images.find(`${registry.host}/zoo:${tag}`);
      assert.ok(row !== undefined);
      trees.push(await withMounted(node.images.lowers(row), (merged) => listTree(merged).slice(1)));
      await node.images.remove(row.id);
    }
    assert.deepEqual(trees[1], trees[0]);
    assert.ok((trees[0]?.length ?? 0) > 90);
  });

  it('127 layers are pulled, and mounted as one', async () => {
    const many = await writeImage(join(directory, 'many'), manyFiles({ layers: 127, files: 1 }), {
      Cmd: ['/x'],
    });
    await registry.push(many, 'zoo:many');
    await node.pull(`${registry.host}/zoo:many`);
    const row = node.images.find(`${registry.host}/zoo:many`);
    assert.ok(row !== undefined);
    const lowers = node.images.lowers(row);
    const target = mkdtempSync(join(tmpdir(), 'sk-127-'));
    await native().overlayMount({ lowers, upper: null, work: null, target, options: [] });
    try {
      const found = execFileSync('find', [target, '-name', 'file0']).toString().trim().split('\n');
      assert.equal(found.length, 127);
    } finally {
      await native().umount(target, 0);
      rmSync(target, { recursive: true });
    }
  });
});

/** Packs the layers of a layout anew; diff ids stay. */
function repack(path: string, pack: (packed: Buffer) => Buffer): void {
  const file = (digest: string) => join(path, 'blobs/sha256', digest.slice(7));
  const index = JSON.parse(readFileSync(join(path, 'index.json'), 'utf8'));
  const [entry] = index.manifests;
  const manifest = JSON.parse(readFileSync(file(entry.digest), 'utf8'));
  for (const layer of manifest.layers) {
    const bytes = pack(readFileSync(file(layer.digest)));
    const mediaType = 'application/vnd.oci.image.layer.v1.tar+zstd';
    Object.assign(layer, { mediaType, digest: digestOf(bytes), size: bytes.length });
    writeFileSync(file(layer.digest), bytes);
  }
  const bytes = Buffer.from(JSON.stringify(manifest));
  Object.assign(entry, { digest: digestOf(bytes), size: bytes.length });
  writeFileSync(file(entry.digest), bytes);
  writeFileSync(join(path, 'index.json'), JSON.stringify(index));
}
