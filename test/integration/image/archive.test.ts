import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { isCode } from '../../../src/base/errors.ts';
import type { CheckEvent } from '../../../src/image/check.ts';
import { manyFiles, writeImage } from '../../bench/layout.ts';
import { TestRegistry } from '../../harness/registry.ts';
import { ImageNode, listTree, NOTHING, withMounted } from './fixture.ts';

const signal = new AbortController().signal;
const quiet = { signal, progress: () => undefined };
let directory: string;
let registry: TestRegistry;
let image: string;
let count = 0;

before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'sk-archive-'));
  registry = await TestRegistry.start();
  const layout = await writeImage(join(directory, 'image'), manyFiles({ layers: 3, files: 20 }), {
    Cmd: ['/x'],
  });
  await registry.push(layout, 'some/image:1');
  image = `${registry.host}/some/image:1`;
});
after(async () => {
  await registry.stop();
  rmSync(directory, { recursive: true });
});

async function withNodes(work: (from: ImageNode, to: ImageNode) => Promise<void>): Promise<void> {
  const from = await ImageNode.start();
  const to = await ImageNode.start();
  try {
    await from.pull(image);
    await work(from, to);
  } finally {
    await from.stop();
    await to.stop();
  }
}

const newPath = () => join(directory, `out${++count}`);
const tree = (node: ImageNode, id: string) => {
  const row = node.images.find(id);
  assert.ok(row !== undefined);
  // Without the root, which these layers do not name.
  return withMounted(node.images.lowers(row), (merged) => listTree(merged).slice(1));
};

describe('an export, imported elsewhere, is the same image', () => {
  for (const form of ['directory', 'archive'] as const)
    for (const packing of ['gzip', 'zstd', 'none'] as const)
      it(`${form}, ${packing}`, () =>
        withNodes(async (from, to) => {
          const path = newPath();
          await from.images.export({ images: [image], path, form, packing }, signal);
          const [id] = await to.images.import({ path, name: '' }, quiet);
          assert.equal(id, from.images.find(image)?.id);
          assert.deepEqual(to.images.find(image)?.repoTags, [image]);
          assert.deepEqual(await tree(to, id ?? ''), await tree(from, id ?? ''));
          assert.deepEqual((await from.counts()).staging, 0);
          assert.deepEqual((await to.counts()).staging, 0);
        }));

  it('two exports are byte for byte the same', () =>
    withNodes(async (from) => {
      const paths = [newPath(), newPath()];
      for (const path of paths)
        await from.images.export({ images: [image], path, form: 'archive', packing: 'gzip' }, signal);
      const [one, two] = paths.map((path) => readFileSync(path));
      assert.ok(one?.equals(two ?? Buffer.alloc(0)));
    }));

  it('to skopeo and umoci, as well', () =>
    withNodes(async (from) => {
      const [layout, archive] = [newPath(), newPath()];
      await from.images.export({ images: [image], path: layout, form: 'directory', packing: 'gzip' }, signal);
      await from.images.export({ images: [image], path: archive, form: 'archive', packing: 'gzip' }, signal);
      const id = from.images.find(image)?.id ?? '';
      execFileSync('umoci', ['unpack', '--image', `${layout}:1`, newPath()], { stdio: 'ignore' });
      for (const source of [`oci-archive:${archive}:1`, `docker-archive:${archive}:${image}`]) {
        const copy = newPath();
        execFileSync('skopeo', ['copy', '-q', '--insecure-policy', source, `dir:${copy}`]);
        assert.ok(
          readdirSync(copy).includes(id.slice('sha256:'.length)),
          `${source} has another configuration`,
        );
      }
    }));
});

describe('an import takes', () => {
  it('what skopeo writes as an archive of docker save, also compressed', () =>
    withNodes(async (from, to) => {
      const path = newPath();
      const source = [
        '--src-tls-verify=false',
        `docker://${image}`,
        `docker-archive:${path}:example.org/other:2`,
      ];
      execFileSync('skopeo', ['copy', '-q', '--insecure-policy', ...source]);
      for (const file of [path, `${path}.gz`]) {
        if (file !== path) execFileSync('gzip', ['-k', path]);
        const [id] = await to.images.import({ path: file, name: '' }, quiet);
        assert.equal(id, from.images.find(image)?.id);
        assert.deepEqual(to.images.find(id ?? '')?.repoTags, ['example.org/other:2']);
        assert.deepEqual(to.images.find(id ?? '')?.repoDigests, []);
        assert.deepEqual(await tree(to, id ?? ''), await tree(from, id ?? ''));
        await to.images.remove(id ?? '');
        assert.deepEqual(await to.counts(), NOTHING);
      }
    }));

  it('a layout whose image has a tag alone, by the name that is given', () =>
    withNodes(async (_, to) => {
      const path = join(directory, 'image');
      await assert.rejects(
        to.images.import({ path, name: '' }, quiet),
        /"latest" is a tag alone; give its name/,
      );
      await to.images.import({ path, name: 'example.org/named:5' }, quiet);
      assert.ok(to.images.find('example.org/named:5') !== undefined);
    }));

  it('nothing that is damaged, cut, or no image, and leaves nothing then', () =>
    withNodes(async (from, to) => {
      const whole = newPath();
      await from.images.export({ images: [image], path: whole, form: 'archive', packing: 'none' }, signal);
      const damaged = newPath();
      const bytes = readFileSync(whole);
      const at = bytes.indexOf('the quick brown fox');
      bytes.write('THE', at);
      writeFileSync(damaged, bytes);
      await assert.rejects(to.images.import({ path: damaged, name: '' }, quiet), (error) =>
        isCode(error, 'data_loss'),
      );
      truncateSync(damaged, 700_000);
      await assert.rejects(to.images.import({ path: damaged, name: '' }, quiet));
      writeFileSync(damaged, 'no archive '.repeat(1000));
      await assert.rejects(to.images.import({ path: damaged, name: '' }, quiet), /checksum of a header/);
      const empty = newPath();
      mkdirSync(empty);
      await assert.rejects(to.images.import({ path: empty, name: '' }, quiet), (error) =>
        isCode(error, 'not_found'),
      );
      assert.deepEqual(await to.counts(), NOTHING);
    }));
});

describe('an export', () => {
  it('touches nothing that is there, and knows what there is', () =>
    withNodes(async (from) => {
      const there = { form: 'archive', packing: 'gzip', path: join(directory, 'image') } as const;
      await assert.rejects(
        from.images.export({ ...there, images: [image] }, signal),
        /there is something already/,
      );
      await assert.rejects(from.images.export({ ...there, images: ['none'] }, signal), (error) =>
        isCode(error, 'not_found'),
      );
    }));
});

describe('a check', () => {
  const check = async (node: ImageNode, repair: boolean) => {
    const events: CheckEvent[] = [];
    for await (const event of node.images.check({ repair }, signal)) events.push(event);
    return events;
  };
  const layerFile = (node: ImageNode) => {
    const row = node.images.find(image);
    const [top = ''] = row === undefined ? [] : node.images.lowers(row);
    return { top, file: execFileSync('find', [top, '-type', 'f']).toString().split('\n')[0] ?? '' };
  };

  it('finds nothing in what was just pulled', () =>
    withNodes(async (from) => {
      const events = await check(from, false);
      assert.equal(events.filter((event) => event.kind === 'layer').length, 3);
      assert.deepEqual(
        events.filter((event) => event.problem !== ''),
        [],
      );
    }));

  for (const [name, harm] of [
    ['one changed byte', (file: string) => writeFileSync(file, Buffer.from('x'), { flag: 'r+' })],
    ['a file that is gone', (file: string) => rmSync(file)],
    ['a file that is cut', (file: string) => truncateSync(file, 9)],
  ] as const)
    it(`finds ${name}, and a repair fetches that layer again, only that`, () =>
      withNodes(async (from) => {
        const before = await tree(from, image);
        harm(layerFile(from).file);
        const found = (await check(from, false)).filter((event) => event.problem !== '');
        assert.deepEqual(
          found.map((event) => [event.kind, event.images]),
          [['layer', [image]]],
        );
        const gets = async () =>
          (await registry.accesses()).filter(({ path }) => path.includes('/blobs/')).length;
        const asked = await gets();
        const repaired = (await check(from, true)).filter((event) => event.kind === 'repair');
        assert.deepEqual(
          repaired.map((event) => [event.images, event.problem]),
          [[[image], '']],
        );
        assert.equal((await gets()) - asked, 2, 'one configuration and one layer');
        assert.deepEqual(await tree(from, image), before);
        assert.deepEqual(
          (await check(from, false)).filter((event) => event.problem !== ''),
          [],
        );
      }));

  it('finds a damaged document', () =>
    withNodes(async (from) => {
      const blobs = join(from.root, 'images/blobs');
      writeFileSync(join(blobs, readdirSync(blobs)[0] ?? ''), '{}');
      const found = (await check(from, true)).filter(
        (event) => event.kind !== 'layer' && event.problem !== '',
      );
      assert.deepEqual(
        found.map((event) => event.kind),
        ['document'],
      );
      assert.deepEqual(
        (await check(from, false)).filter((event) => event.problem !== ''),
        [],
      );
    }));

  it('takes nothing from under a container', () =>
    withNodes(async (from) => {
      const { top, file } = layerFile(from);
      from.inUse.add(top);
      truncateSync(file, 9);
      const repair = (await check(from, true)).find((event) => event.kind === 'repair');
      assert.match(repair?.problem ?? '', /a container uses what is damaged/);
      assert.ok(from.images.find(image) !== undefined);
    }));
});

it('the breakdown says who holds what, and sums up to what is told', () =>
  withNodes(async (from) => {
    const { images, layers, total } = from.images.breakdown();
    const usage = await from.images.usage();
    assert.deepEqual([total.bytes, total.inodes], [usage.usedBytes, usage.inodesUsed]);
    assert.deepEqual(
      images.map(({ name, bytes, ownBytes }) => [name, bytes - ownBytes]),
      [[image, 0]],
    );
    assert.deepEqual(
      layers.map((layer) => layer.images),
      [[image], [image], [image]],
    );
  }));
