import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  futimesSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { SkiffError } from '../../../src/base/errors.ts';
import { digestOf } from '../../../src/image/digest.ts';
import { assemble } from '../../../src/image/layer/recipe.ts';
import { unpack } from '../../../src/image/layer/unpack.ts';
import type { LayerFacts } from '../../../src/os/layer-writer.ts';
import { makeThinLayer } from '../../../src/os/thin-layer.ts';
import { archive, paxEntry, type TarEntry, tarEntry } from '../../unit/image/layer/archive.ts';
import { listTree, withMounted } from './fixture.ts';

let host: string;
let recipes: string;
let count = 0;

before(() => {
  host = mkdtempSync(join(tmpdir(), 'sk-unpack-'));
  recipes = mkdtempSync(join(tmpdir(), 'sk-recipes-'));
});
after(() => {
  for (const directory of [host, recipes]) rmSync(directory, { recursive: true });
});

/** A new empty directory beside the others; '..' of it is the host's. */
function newLayer(): string {
  const directory = join(host, `layer${++count}`);
  mkdirSync(directory);
  return directory;
}

async function unpackInto(directory: string, tar: Buffer): Promise<LayerFacts> {
  const packed = gzipSync(tar, { level: 1 });
  async function* source() {
    for (let at = 0; at < packed.length; at += 30_000) yield packed.subarray(at, at + 30_000);
  }
  const { recipe } = layer(directory);
  const options = {
    ...layer(directory),
    digest: digestOf(packed),
    size: packed.length,
    diffId: digestOf(tar),
    alone: () => false,
  };
  const facts = await unpack(source, options, new AbortController().signal, () => undefined);
  if (!facts.replaced) assert.equal(await assembledDigest(recipe, directory), digestOf(tar));
  return facts;
}

function layer(directory: string): { directory: string; recipe: string } {
  return { directory, recipe: join(recipes, directory.slice(directory.lastIndexOf('/') + 1)) };
}

async function assembledDigest(recipe: string, directory: string): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of assemble(recipe, directory)) parts.push(Buffer.from(part));
  return digestOf(Buffer.concat(parts));
}

/** Holes at the beginning, in between and at the end; more parts than one header or extension holds; none at all. */
function makeSparse(directory: string): void {
  const write = (name: string, size: number, at: number[]) => {
    const fd = openSync(join(directory, name), 'w', 0o640);
    for (const offset of at) writeSync(fd, `data at ${offset}\n`, offset);
    ftruncateSync(fd, size);
    // The old form has whole seconds only.
    futimesSync(fd, 1_600_000_000, 1_600_000_000);
    closeSync(fd);
  };
  mkdirSync(directory);
  write('middle', 9_000_000, [4_000_000]);
  write('begin', 3_000_000, [0]);
  write('end', 3_000_009, [3_000_000 - 8]);
  write('hole', 5_000_000, []);
  write(
    'many',
    40_000_001,
    Array.from({ length: 90 }, (_, n) => n * 400_000 + 17),
  );
  write('none', 12, [0]);
  utimesSync(directory, 1_600_000_000, 1_600_000_000);
}

const dir = (name: string, over: Partial<TarEntry> = {}) =>
  tarEntry({ name, type: '5', mode: 0o755, ...over });
const file = (name: string, text = 'written\n', over: Partial<TarEntry> = {}) =>
  tarEntry({ name, data: Buffer.from(text), ...over });
const symlink = (name: string, linkname: string) => tarEntry({ name, type: '2', linkname });
const hardlink = (name: string, linkname: string) => tarEntry({ name, type: '1', linkname });

describe('no archive reaches out of its directory', () => {
  const outside = () => join(host, 'outside');
  const attacks: [string, () => Buffer[]][] = [
    [
      'a name with ..',
      () => [
        file('../outside/secret'),
        file('a/../../outside/secret'),
        file('../../../../etc/skiff-was-here'),
      ],
    ],
    ['an absolute name', () => [file(join(outside(), 'secret')), file('/etc/skiff-was-here')]],
    ['a file through an absolute symbolic link', () => [symlink('link', outside()), file('link/secret')]],
    ['a file through a relative symbolic link', () => [symlink('link', '../outside'), file('link/secret')]],
    [
      'a file through a chain of links',
      () => [symlink('a', '..'), symlink('b', 'a/a/outside'), file('b/secret')],
    ],
    [
      'a file through a link in a directory',
      () => [dir('d/'), symlink('d/up', '../../outside'), file('d/up/secret')],
    ],
    ['a file over a link', () => [symlink('secret', join(outside(), 'secret')), file('secret')]],
    ['a hard link to an absolute path', () => [hardlink('mine', join(outside(), 'secret')), file('mine')]],
    ['a hard link to ..', () => [hardlink('mine', '../outside/secret'), file('mine')]],
    ['a hard link through a symbolic link', () => [symlink('l', '../outside'), hardlink('mine', 'l/secret')]],
    [
      'a hard link to a symbolic link, then a file through it',
      () => [symlink('l', outside()), hardlink('m', 'l'), file('m/secret')],
    ],
    [
      'a directory over a link, with owner and mode',
      () => [symlink('l', '../outside'), dir('l/', { mode: 0o777, uid: 7 })],
    ],
    ['a mode through a link', () => [symlink('l', '../outside'), dir('l/.', { mode: 0o777, uid: 7 })]],
    ['a whiteout through a link', () => [symlink('l', '../outside'), file('l/.wh.secret')]],
    ['an opaque whiteout through a link', () => [symlink('l', '../outside'), file('l/.wh..wh..opq')]],
    ['a whiteout of ..', () => [file('.wh...')]],
    [
      'a link that was a directory',
      () => [dir('d/'), file('d/x'), symlink('d', '../outside'), file('d/secret')],
    ],
    [
      'a hard link that replaces its own directory',
      () => [dir('d/'), file('d/x'), hardlink('d', 'd/x'), file('d/secret')],
    ],
    ['the root as a link', () => [symlink('./', '../outside'), file('secret')]],
    ['the root as a file', () => [file('.')]],
    ['a loop of links', () => [symlink('a', 'b'), symlink('b', 'a'), file('a/secret')]],
    ['a link through /proc', () => [symlink('p', '/proc/self/cwd'), file('p/skiff-was-here')]],
    [
      'a long pax path',
      () => [
        paxEntry({ path: `${'../'.repeat(500)}outside/secret` }, { name: 'x', data: Buffer.from('written') }),
      ],
    ],
    [
      'a device over a link',
      () => [symlink('l', '../outside/dev'), tarEntry({ name: 'l', type: '3', major: 1, minor: 3 })],
    ],
  ];
  for (const [name, entries] of attacks)
    it(name, async () => {
      rmSync(outside(), { recursive: true, force: true });
      mkdirSync(outside(), { mode: 0o700 });
      writeFileSync(join(outside(), 'secret'), 'untouched\n');
      const before = listTree(outside());
      await unpackInto(newLayer(), archive(...entries())).catch((error: unknown) => {
        assert.ok(error instanceof SkiffError, String(error));
      });
      assert.deepEqual(listTree(outside()), before, 'HOST PATH WAS CHANGED');
      for (const path of ['/etc', process.cwd(), host])
        assert.ok(!readdirSync(path).includes('skiff-was-here'), 'HOST PATH WAS CHANGED');
    });

  it('what leads out is written inside, as seen from the root of the layer', async () => {
    const layer = newLayer();
    await unpackInto(
      layer,
      archive(symlink('l', '/etc'), file('l/passwd'), file('../../up'), hardlink('h', '/etc/passwd')),
    );
    assert.equal(readFileSync(join(layer, 'etc/passwd'), 'utf8'), 'written\n');
    assert.equal(readFileSync(join(layer, 'up'), 'utf8'), 'written\n');
    assert.equal(statSync(join(layer, 'h')).nlink, 2);
  });
});

describe('what overlayfs takes as its own comes from whiteouts alone', () => {
  it('xattrs of overlayfs and 0/0 devices in an archive are left out, with a word', async () => {
    const layer = newLayer();
    const opaque = { 'SCHILY.xattr.trusted.overlay.opaque': 'y', 'SCHILY.xattr.user.overlay.opaque': 'y' };
    const facts = await unpackInto(
      layer,
      archive(
        paxEntry(opaque, { name: 'd/', type: '5', mode: 0o755 }),
        tarEntry({ name: 'd/device', type: '3', major: 0, minor: 0 }),
        file('d/kept'),
      ),
    );
    assert.deepEqual(readdirSync(join(layer, 'd')), ['kept']);
    assert.match(listTree(layer).join('\n'), /"\/d",[^\n]*,\{\},/);
    assert.equal(facts.warnings.length, 3);
    assert.match(
      facts.warnings.join('\n'),
      /trusted\.overlay\.opaque[^\n]*\n[^\n]*user\.overlay\.opaque[^\n]*\n"\/d\/device": a 0\/0 device/,
    );
  });

  it('whiteouts hide the lower layers only, in whatever order they come', async () => {
    const lower = newLayer();
    await unpackInto(
      lower,
      archive(dir('a/'), file('a/low'), dir('b/'), file('b/low'), file('c', 'low'), dir('d/'), file('d/low')),
    );
    const upper = newLayer();
    await unpackInto(
      upper,
      archive(
        // Entry first, whiteout after it; and the other way round.
        dir('a/'),
        file('a/up'),
        file('.wh.a', ''),
        file('.wh.b', ''),
        file('b/up'),
        file('c', 'up'),
        file('.wh.c', ''),
        file('d/up'),
        file('d/.wh..wh..opq', ''),
      ),
    );
    const seen = await withMounted([upper, lower], (merged) =>
      ['a', 'b', 'd']
        .map((name) => readdirSync(join(merged, name)))
        .concat([[readFileSync(join(merged, 'c'), 'utf8')]]),
    );
    assert.deepEqual(seen, [['up'], ['up'], ['up'], ['up']]);
  });

  it('an opaque root is told, because overlayfs does not look there', async () => {
    const facts = await unpackInto(newLayer(), archive(file('.wh..wh..opq', ''), file('x')));
    assert.equal(facts.opaqueRoot, true);
  });
});

describe('entries', () => {
  it('the later of two entries with one name wins', async () => {
    const layer = newLayer();
    await unpackInto(
      layer,
      archive(
        dir('d/'),
        file('d/x'),
        file('d', 'a file'),
        file('f'),
        dir('f/'),
        file('f/x'),
        symlink('s', 'f'),
        dir('s/'),
        file('s/y'),
        file('m', 'first', { mode: 0o600 }),
        file('m', 'second', { mode: 0o4711, uid: 9 }),
        dir('again/', { mode: 0o700 }),
        file('again/kept'),
        dir('again/', { mode: 0o711 }),
      ),
    );
    assert.equal(readFileSync(join(layer, 'd'), 'utf8'), 'a file');
    assert.deepEqual(readdirSync(join(layer, 'f')), ['x']);
    assert.deepEqual(readdirSync(join(layer, 's')), ['y']);
    const stat = lstatSync(join(layer, 'm'));
    assert.deepEqual([stat.mode & 0o7777, stat.uid], [0o4711, 9]);
    assert.equal(lstatSync(join(layer, 'again')).mode & 0o7777, 0o711);
    assert.deepEqual(readdirSync(join(layer, 'again')), ['kept']);
  });

  it('a hard link to what is not in the layer says so', async () => {
    await assert.rejects(
      unpackInto(newLayer(), archive(hardlink('a', 'not/there'))),
      /write "\/a": its hard link's target "\/not\/there" is not in this layer/,
    );
  });

  it('an archive that is cut, or is none, is an error', async () => {
    const whole = archive(file('a', 'x'.repeat(5000)));
    for (const cut of [100, 512, 700, 3000])
      await assert.rejects(unpackInto(newLayer(), whole.subarray(0, cut)), /tar/, `${cut}`);
    await assert.rejects(
      unpackInto(newLayer(), Buffer.from('no archive '.repeat(100))),
      /checksum of a header is wrong/,
    );
    // Without the end marks and the last padding it is whole (umoci writes such).
    await unpackInto(newLayer(), whole.subarray(0, 512 + 5000));
  });

  it('a wrong diff id is an error, also after every entry was written', async () => {
    const tar = archive(file('a'));
    async function* source() {
      yield gzipSync(tar);
    }
    const packed = gzipSync(tar);
    const options = {
      digest: digestOf(packed),
      size: packed.length,
      diffId: digestOf('other'),
      ...layer(newLayer()),
      alone: () => true,
    };
    await assert.rejects(
      unpack(source, options, new AbortController().signal, () => undefined),
      /unpacked,: content has digest/,
    );
  });

  it('a bad archive is told at once, though the rest of it does not come', async () => {
    const tar = Buffer.alloc(4096, 'no archive ');
    async function* source(signal: AbortSignal) {
      yield tar;
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    }
    const options = { digest: digestOf(tar), size: 1 << 20, diffId: digestOf(tar), ...layer(newLayer()) };
    await assert.rejects(
      unpack(source, { ...options, alone: () => true }, new AbortController().signal, () => undefined),
      /checksum of a header/,
    );
  });

  it('can be put together again, unless an entry has taken the place of another', async () => {
    assert.equal((await unpackInto(newLayer(), archive(file('a'), dir('d/'), file('d/b')))).replaced, false);
    assert.equal((await unpackInto(newLayer(), archive(file('a'), file('a')))).replaced, true);
    const directory = newLayer();
    const data = Buffer.alloc(3_000_000, 'content ');
    await unpackInto(directory, archive(tarEntry({ name: 'big', data }), file('small')));
    const { recipe } = layer(directory);
    writeFileSync(join(directory, 'small'), 'changed\n');
    assert.notEqual(await assembledDigest(recipe, directory), digestOf(data));
    truncateSync(join(directory, 'big'), 5);
    await assert.rejects(assembledDigest(recipe, directory), /"\/big" is too short/);
    rmSync(join(directory, 'big'));
    await assert.rejects(assembledDigest(recipe, directory), /"\/big" is not there/);
  });

  it('leaves no descriptor behind, also after failures', async () => {
    const open = () => readdirSync('/proc/self/fd').length;
    await unpackInto(newLayer(), archive(file('warm/up')));
    const before = open();
    const many = Array.from({ length: 200 }, (_, n) => file(`d${n}/e/f`));
    await unpackInto(newLayer(), archive(...many));
    await assert.rejects(unpackInto(newLayer(), archive(...many, hardlink('x', 'none'))));
    await assert.rejects(
      unpackInto(newLayer(), archive(...many, file('big', 'x'.repeat(100_000))).subarray(0, -60_000)),
    );
    assert.equal(open(), before);
  });

  for (const [form, args] of Object.entries({
    'the old GNU form': ['--format=gnu'],
    'pax 0.0': ['--format=pax', '--sparse-version=0.0'],
    'pax 0.1': ['--format=pax', '--sparse-version=0.1'],
    'pax 1.0': ['--format=pax', '--sparse-version=1.0'],
  }))
    it(`sparse files in ${form} have their content and their holes`, async () => {
      const from = join(host, `sparse-${count}`);
      makeSparse(from);
      const tar = execFileSync('tar', ['-S', ...args, '-cf', '-', '-C', from, '.'], { maxBuffer: 1 << 28 });
      const layer = newLayer();
      await unpackInto(layer, tar);
      assert.deepEqual(listTree(layer), listTree(from));
      for (const name of readdirSync(from)) {
        const blocks = (directory: string) => statSync(join(directory, name)).blocks;
        assert.ok(blocks(layer) <= blocks(from) + 16, `${name}: ${blocks(layer)} blocks`);
      }
    });

  it('twenty thousand small entries go through', async () => {
    const layer = newLayer();
    const entries = Array.from({ length: 20_000 }, (_, n) => tarEntry({ name: `d/${n % 100}/${n}` }));
    await unpackInto(layer, archive(...entries));
    assert.equal(Number(execFileSync('find', [layer, '-type', 'f', '-printf', '.']).length), 20_000);
  });
});

describe('makeThinLayer', () => {
  const layerOf = async (...entries: Buffer[]) => {
    const directory = newLayer();
    const { implicitDirs } = await unpackInto(directory, archive(...entries));
    return { directory, implicitDirs };
  };
  /** Modes of `paths` in the joined tree with its thin layer; null where there is none. */
  const modes = async (layers: Awaited<ReturnType<typeof layerOf>>[], paths: string[]) => {
    const directory = newLayer();
    const needed = makeThinLayer({ layers, directory });
    const lowers = [...(needed ? [directory] : []), ...layers.map((layer) => layer.directory)];
    const found = await withMounted(lowers, (merged) =>
      paths.map((path) => {
        const stat = lstatSync(join(merged, path), { throwIfNoEntry: false });
        return stat === undefined ? null : (stat.mode & 0o7777).toString(8);
      }),
    );
    return { needed, found };
  };

  it('a directory that a layer does not name looks as the layers below say', async () => {
    const base = await layerOf(
      dir('./', { mode: 0o750 }),
      dir('tmp/', { mode: 0o1777, gid: 5 }),
      dir('a/', { mode: 0o711 }),
      dir('a/b/', { mode: 0o700 }),
    );
    const upper = await layerOf(file('tmp/x'), file('a/b/y'), file('new/z'));
    assert.deepEqual(await modes([upper, base], ['tmp', 'a', 'a/b', 'new', 'tmp/x']), {
      needed: true,
      found: ['1777', '711', '700', '755', '644'],
    });
    const thin = newLayer();
    makeThinLayer({ layers: [upper, base], directory: thin });
    assert.equal(lstatSync(thin).mode & 0o7777, 0o750);
    assert.equal(lstatSync(join(thin, 'tmp')).gid, 5);
    assert.equal(readdirSync(thin).includes('new'), false);
  });

  it('the nearest layer that names it counts, and nothing is written where all is said', async () => {
    const base = await layerOf(dir('./'), dir('d/', { mode: 0o700 }));
    const middle = await layerOf(dir('./'), dir('d/', { mode: 0o711 }));
    const upper = await layerOf(dir('./'), file('d/x'));
    const top = await layerOf(dir('./'), dir('d/', { mode: 0o777 }));
    assert.deepEqual((await modes([upper, middle, base], ['d'])).found, ['711']);
    assert.deepEqual(await modes([top, upper, middle, base], ['d']), { needed: false, found: ['777'] });
  });

  it('what was removed in between passes nothing on', async () => {
    const base = await layerOf(
      dir('./'),
      dir('d/', { mode: 0o700 }),
      dir('p/', { mode: 0o700 }),
      dir('p/q/', { mode: 0o711 }),
    );
    const removed = await layerOf(
      dir('./'),
      file('.wh.d', ''),
      dir('p/', { mode: 0o750 }),
      file('p/.wh..wh..opq', ''),
    );
    const upper = await layerOf(dir('./'), file('d/x'), file('p/q/x'));
    assert.deepEqual((await modes([upper, removed, base], ['d', 'p', 'p/q'])).found, ['755', '750', '755']);
  });

  it('follows no link of a layer', async () => {
    const base = await layerOf(dir('./'), symlink('d', '/etc'));
    const upper = await layerOf(dir('./'), file('d/x'));
    assert.deepEqual((await modes([upper, base], ['d', 'd/x', 'd/passwd'])).found, ['755', '644', null]);
    assert.equal(readlinkSync(join(base.directory, 'd')), '/etc');
  });
});
