import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type ErrorCode, isCode, SkiffError } from '../../../src/base/errors.ts';
import { busyboxImage, TestRegistry } from '../../harness/registry.ts';
import { ImageNode, listTree, NOTHING, withMounted } from './fixture.ts';
import { userlandImage } from './userland.ts';

let registry: TestRegistry;
let directory: string;
let userland: string;
let busybox: string;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sk-pull-'));
  registry = await TestRegistry.start();
  userland = userlandImage(directory);
  busybox = await busyboxImage(directory);
  await registry.push(userland, 'userland:latest');
  await registry.push(busybox, 'busybox:latest');
});

after(async () => {
  await registry.stop();
  await rm(directory, { recursive: true, force: true });
});

/** Runs `work` with a node that is removed afterwards. */
async function withNode(work: (node: ImageNode) => Promise<void>): Promise<void> {
  const node = await ImageNode.start();
  try {
    await work(node);
  } finally {
    await node.stop();
  }
}

function fails(code: ErrorCode, message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(
      isCode(error, code),
      `expected ${code}, got ${String(error)} ${error instanceof SkiffError && error.code}`,
    );
    assert.match(error.message, message);
    return true;
  };
}

describe('a pulled image', () => {
  it('is, mounted, the tree that umoci makes of it', () =>
    withNode(async (node) => {
      const id = await node.pull(`${registry.host}/userland`);
      const image = node.images.find(id);
      assert.ok(image !== undefined);
      const bundle = join(directory, 'bundle');
      execFileSync('umoci', ['unpack', '--keep-dirlinks', '--image', userland, bundle], { stdio: 'ignore' });
      const expected = listTree(join(bundle, 'rootfs'));
      const got = await withMounted(node.images.lowers(image), listTree);
      assert.deepEqual(differences(withoutUntold(got), withoutUntold(expected)), []);
      assert.ok(got.length > 40, `${got.length} entries`);
    }));

  it('has a size on disk that agrees with the disk', () =>
    withNode(async (node) => {
      await node.pull(`${registry.host}/userland`);
      const { usedBytes, inodesUsed, mountpoint } = await node.images.usage();
      assert.equal(mountpoint, node.root);
      const du = execFileSync('du', [
        '-s',
        '--block-size=1',
        join(node.root, 'layers'),
        join(node.root, 'recipes'),
        join(node.root, 'images'),
      ]);
      const onDisk = [...du.toString().matchAll(/^(\d+)/gm)].reduce(
        (sum, [, bytes]) => sum + Number(bytes),
        0,
      );
      assert.ok(Math.abs(usedBytes - onDisk) < 65_536, `${usedBytes} bytes told, ${onDisk} on disk`);
      const inodes = execFileSync('du', [
        '-sc',
        '--inodes',
        join(node.root, 'layers'),
        join(node.root, 'recipes'),
      ]);
      const count = Number(/^(\d+)\ttotal$/m.exec(inodes.toString())?.[1]);
      assert.ok(Math.abs(inodesUsed - count) < 10, `${inodesUsed} inodes told, ${count} on disk`);
    }));

  it('is found by each of its names', () =>
    withNode(async (node) => {
      const tag = `${registry.host}/userland`;
      const id = await node.pull(tag);
      const image = node.images.find(id);
      assert.deepEqual(image?.repoTags, [`${tag}:latest`]);
      const [digest = ''] = image.repoDigests;
      const hex = id.slice('sha256:'.length);
      for (const name of [
        tag,
        `${tag}:latest`,
        digest,
        id,
        hex,
        hex.slice(0, 12),
        `sha256:${hex.slice(0, 12)}`,
      ])
        assert.equal(node.images.find(name)?.id, id, name);
      for (const name of [hex.slice(0, 3), `${tag}:other`, 'busybox', '', 'no such', 'f'.repeat(64)])
        assert.equal(node.images.find(name), undefined, name);
    }));
});

/** Lines that only one side has. */
function differences(got: string[], expected: string[]): string[] {
  const [ours, theirs] = [new Set(got), new Set(expected)];
  return [
    ...got.filter((line) => !theirs.has(line)).map((line) => `skiff: ${line}`),
    ...expected.filter((line) => !ours.has(line)).map((line) => `umoci: ${line}`),
  ];
}

/** What an archive does not say has the time of its making: implicit directories that no layer names. umoci leaves the root's own time. */
function withoutUntold(lines: string[]): string[] {
  return lines.map((line) => {
    const fields = JSON.parse(line) as unknown[];
    if (['', '/fresh', '/fresh/deep', '/long', `/long/${'p'.repeat(150)}`].includes(fields[0] as string))
      fields[5] = 'untold';
    return JSON.stringify(fields);
  });
}

describe('names', () => {
  it('a pull by digest gives the digest and no tag', () =>
    withNode(async (node) => {
      const digest = await registry.push(busybox, 'names:one');
      const reference = `${registry.host}/names@${digest}`;
      const id = await node.pull(reference);
      assert.deepEqual(node.images.find(id)?.repoTags, []);
      assert.deepEqual(node.images.find(id)?.repoDigests, [reference]);
      assert.equal(await node.pull(`${registry.host}/names:one@${digest}`), id);
      assert.deepEqual(node.images.find(id)?.repoTags, []);
    }));

  it('a tag that moved leaves its old image untagged', () =>
    withNode(async (node) => {
      const tag = `${registry.host}/moving:1`;
      await registry.push(busybox, 'moving:1');
      const old = await node.pull(tag);
      await registry.push(userland, 'moving:1');
      const fresh = await node.pull(tag);
      assert.notEqual(fresh, old);
      assert.equal(node.images.find(tag)?.id, fresh);
      assert.deepEqual(node.images.find(old)?.repoTags, []);
      assert.equal(node.images.list().length, 2);
    }));

  it('several tags of one image are one image', () =>
    withNode(async (node) => {
      for (const tag of ['a', 'b', 'c']) {
        await registry.push(busybox, `tags:${tag}`);
        await node.pull(`${registry.host}/tags:${tag}`);
      }
      assert.equal(node.images.list().length, 1);
      assert.equal(node.images.list()[0]?.repoTags.length, 3);
      await node.images.remove(`${registry.host}/tags:b`);
      assert.deepEqual(await node.counts(), NOTHING);
    }));
});

describe('side by side', () => {
  it('two pulls of one image are one, and each layer is fetched once', () =>
    withNode(async (node) => {
      await registry.push(userland, 'joined:latest');
      const references = [
        `${registry.host}/joined`,
        `${registry.host}/joined:latest`,
        `${registry.host}/userland`,
      ];
      const earlier = (await registry.accesses()).length;
      const ids = await Promise.all(references.map((reference) => node.pull(reference)));
      assert.equal(new Set(ids).size, 1);
      const fetched = (await registry.accesses())
        .slice(earlier)
        .filter(
          ({ method, path }) => method === 'GET' && path.includes('/blobs/') && !path.endsWith(ids[0] ?? ''),
        )
        .map(({ path }) => path.slice(path.lastIndexOf('/') + 1));
      // The two repositories have the same layers: what one fetched the other did not.
      assert.ok(fetched.length > 0);
      assert.deepEqual(fetched.sort(), [...new Set(fetched)].sort());
      const layers = new Set(node.images.find(ids[0] ?? '')?.diffIds).size;
      assert.equal((await node.counts()).layers, layers + 1, 'each layer once, and the thin directory');
    }));

  it('five removals at once are fine', () =>
    withNode(async (node) => {
      const id = await node.pull(`${registry.host}/busybox`);
      await Promise.all(Array.from({ length: 5 }, () => node.images.remove(id)));
      assert.deepEqual(await node.counts(), NOTHING);
      await node.images.remove(id);
    }));
});

describe('removal', () => {
  it('keeps the layers that a container uses until it is gone', () =>
    withNode(async (node) => {
      const id = await node.pull(`${registry.host}/busybox`);
      const image = node.images.find(id);
      assert.ok(image !== undefined);
      for (const lower of node.images.lowers(image)) node.inUse.add(lower);
      await node.images.remove(id);
      assert.deepEqual(await node.counts(), { ...NOTHING, layers: 1, recipes: 1 });
      assert.equal(node.images.find(id), undefined);
      node.inUse.clear();
      await node.images.collect();
      assert.deepEqual(await node.counts(), NOTHING);
    }));

  it('keeps layers that another image has too', () =>
    withNode(async (node) => {
      const base = await node.pull(`${registry.host}/busybox`);
      execFileSync('umoci', ['config', '--image', busybox, '--tag', 'other', '--config.user=7'], {
        stdio: 'ignore',
      });
      await registry.push(`${join(directory, 'busybox')}:other`, 'busybox:other');
      const other = await node.pull(`${registry.host}/busybox:other`);
      assert.notEqual(other, base);
      await node.images.remove(base);
      assert.equal((await node.counts()).layers, 1);
      const image = node.images.find(other);
      assert.ok(image !== undefined);
      assert.equal(image.config.user, '7');
      await stat(join(node.images.lowers(image)[0] ?? '', 'bin/busybox'));
    }));
});

describe('failures leave nothing', () => {
  it('an image or repository that is not there', () =>
    withNode(async (node) => {
      await assert.rejects(
        node.pull(`${registry.host}/none`),
        fails('not_found', /MANIFEST_UNKNOWN|NAME_UNKNOWN/),
      );
      await assert.rejects(
        node.pull(`${registry.host}/busybox:none`),
        fails('not_found', /check the name and the tag/),
      );
      assert.deepEqual(await node.counts(), NOTHING);
    }));

  it('a registry that is down', () =>
    withNode(async (node) => {
      await assert.rejects(
        node.pull('127.0.0.1:1/busybox'),
        fails('unavailable', /^RegistryUnavailable: .*refused/),
      );
      assert.deepEqual(await node.counts(), NOTHING);
    }));

  it('a damaged layer', () =>
    withNode(async (node) => {
      const { layers } = await pushOwn('damaged');
      const file = registry.blobFile(layers.at(-1) ?? '');
      const bytes = await readFile(file);
      bytes.writeUInt8(bytes.readUInt8(bytes.length - 20) ^ 1, bytes.length - 20);
      await writeFile(file, bytes);
      const message = new RegExp(
        `^verify layer ${layers.at(-1)}: content has digest sha256:[0-9a-f]{64}, expected ${layers.at(-1)}|unpack layer`,
      );
      await assert.rejects(node.pull(`${registry.host}/damaged`), fails('data_loss', message));
      assert.deepEqual(await node.counts(), NOTHING);
    }));

  it('a layer that is cut short', () =>
    withNode(async (node) => {
      const { layers } = await pushOwn('short');
      await truncate(registry.blobFile(layers[0] ?? ''), 1000);
      await assert.rejects(node.pull(`${registry.host}/short`), (error) => error instanceof SkiffError);
      assert.deepEqual(await node.counts(), NOTHING);
    }));

  it('a damaged configuration and a damaged manifest', () =>
    withNode(async (node) => {
      const { config, manifest } = await pushOwn('documents');
      const good = await readFile(registry.blobFile(config));
      await writeFile(registry.blobFile(config), good.toString().replace('amd64', 'amd65'));
      await assert.rejects(node.pull(`${registry.host}/documents`), fails('data_loss', /expected sha256:/));
      await writeFile(registry.blobFile(config), good);
      const text = await readFile(registry.blobFile(manifest), 'utf8');
      await writeFile(registry.blobFile(manifest), text.replace('"schemaVersion"', '"schemaversion"'));
      await assert.rejects(
        node.pull(`${registry.host}/documents@${manifest}`),
        (error) => error instanceof SkiffError,
      );
      assert.deepEqual(await node.counts(), NOTHING);
    }));

  it('a pull that is called off midway', () =>
    withNode(async (node) => {
      for (const phase of ['resolving', 'waiting', 'fetching', 'done'] as const) {
        const abort = new AbortController();
        const pulled = node.pull(`${registry.host}/userland`, {
          signal: abort.signal,
          progress: (event) => {
            if (event.phase === phase) abort.abort();
          },
        });
        await assert.rejects(pulled, fails('canceled', /pull/), phase);
        assert.deepEqual(await node.counts(), NOTHING, phase);
      }
    }));

  it("a caller's deadline", () =>
    withNode(async (node) => {
      await assert.rejects(
        node.pull(`${registry.host}/userland`, { signal: AbortSignal.timeout(1) }),
        fails('deadline_exceeded', /pull/),
      );
      assert.deepEqual(await node.counts(), NOTHING);
    }));

  it('one caller that leaves does not end the pull of the other', () =>
    withNode(async (node) => {
      const abort = new AbortController();
      const reference = `${registry.host}/userland`;
      const leaver = node.pull(reference, { signal: abort.signal, progress: () => abort.abort() });
      const stayer = node.pull(reference);
      await assert.rejects(leaver, fails('canceled', /pull/));
      assert.ok(node.images.find(await stayer) !== undefined);
    }));
});

describe('a new daemon', () => {
  it('finds the images again, and sweeps what was half done', async () => {
    const first = await ImageNode.start();
    const id = await first.pull(`${registry.host}/userland`);
    const before = await first.counts();
    await first.close();
    execFileSync('mkdir', ['-p', join(first.root, 'staging/half/etc'), join(first.root, 'layers/zz/etc')]);
    await writeFile(join(first.root, 'images/blobs', 'ab'.repeat(32)), '{}');
    const second = await ImageNode.start({}, first.root);
    try {
      assert.deepEqual(await second.counts(), before);
      const image = second.images.find(id);
      assert.ok(image !== undefined);
      await withMounted(second.images.lowers(image), (merged) => stat(join(merged, 'bin/busybox')));
      assert.deepEqual(
        (await second.images.documents(image)).map(({ digest }) => digest),
        image.blobs,
      );
      const [gone = ''] = second.images.lowers(image);
      await second.close();
      await rm(gone, { recursive: true });
    } finally {
      await second.close().catch(() => undefined);
    }
    const third = await ImageNode.start({}, first.root);
    assert.equal(third.images.find(id), undefined, 'an image without one of its layers is not listed');
    assert.deepEqual(await third.counts(), NOTHING);
    await third.stop();
  });
});

/** Pushes an image whose blobs no other test shares; answers their digests. */
async function pushOwn(name: string): Promise<{ manifest: string; config: string; layers: string[] }> {
  const own = join(directory, name);
  execFileSync('cp', ['-r', join(directory, 'busybox'), own]);
  const file = join(directory, `${name}.txt`);
  await writeFile(file, `${name} ${Math.random()}\n`.repeat(5000));
  execFileSync('umoci', ['insert', '--image', `${own}:latest`, file, `/${name}`], { stdio: 'ignore' });
  const manifest = await registry.push(`${own}:latest`, `${name}:latest`);
  const json = JSON.parse(await readFile(registry.blobFile(manifest), 'utf8')) as {
    config: { digest: string };
    layers: { digest: string }[];
  };
  assert.ok((await readdir(own)).includes('blobs'));
  return { manifest, config: json.config.digest, layers: json.layers.slice(1).map((layer) => layer.digest) };
}
