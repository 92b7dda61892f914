import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { SkiffError } from '../../../src/base/errors.ts';
import { configFiles, configSource, loadConfig, parseConfig } from '../../../src/config/load.ts';
import { editDistance, lineOf } from '../../../src/config/problems.ts';

function problemsOf(text: string): string {
  try {
    parseConfig([{ name: '/etc/c.toml', text }]);
  } catch (error) {
    assert.ok(error instanceof SkiffError && error.code === 'invalid_argument', String(error));
    return error.message;
  }
  return 'none';
}

describe('a wrong configuration names file, line, key and what to write instead', () => {
  const table: [what: string, text: string, message: RegExp][] = [
    [
      'a misspelt key',
      'tolerate_missing_controler = true',
      /^\/etc\/c\.toml:1: tolerate_missing_controler: .*did you mean tolerate_missing_controllers\?$/,
    ],
    ['two letters swapped', '[log]\n\nlevle = "info"', /^\/etc\/c\.toml:3: log\.levle: .*mean log\.level\?$/],
    ['a key in the wrong table', 'max_conf_num = 2', /mean cni\.max_conf_num\?$/],
    ['a key like no other', '[cni]\nzzz = 1', /known here: conf_dir, bin_dirs, /],
    [
      'a misspelt key of a registry',
      '[image.registries."h:1"]\nplainhttp = true',
      /^\/etc\/c\.toml:2: image\.registries\."h:1"\.plainhttp: .*plain_http\?$/,
    ],
    [
      'a text for a number',
      '[image]\nmax_concurrent_downloads = "3"',
      /:2: image\.max_concurrent_downloads: expected a whole number from 1 to 64, found "3"$/,
    ],
    ['a number out of range', '[image]\nmax_concurrent_downloads = 0', /from 1 to 64, found 0$/],
    ['a fraction', '[cni]\nmax_conf_num = 1.5', /expected a whole number .* found 1\.5$/],
    ['a number for a time', '[stats]\ncollect_period = 10', /expected a time such as .* found 10$/],
    ['a time without unit', '[stats]\ncollect_period = "10"', /expected a time such as .* found "10"$/],
    ['a level that is none', '[log]\nlevel = "loud"', /expected one of "trace", .* found "loud"$/],
    ['a relative directory', 'root = "data"', /:1: root: expected an absolute path, found "data"$/],
    [
      'a relative directory in a list',
      '[cni]\nbin_dirs = ["/a", "b"]',
      /:2: cni\.bin_dirs: expected an absolute path, found "b"$/,
    ],
    ['a value for a table', 'log = "debug"', /:1: log: expected a table, found "debug"$/],
    [
      'a runtime that is not configured',
      'default_runtime = "rucn"',
      /:1: default_runtime: .*did you mean "runc"\?$/,
    ],
    ['a relative runtime program', '[runtimes.x]\npath = "a/b"', /:2: runtimes\.x\.path: .*found "a\/b"$/],
    ['a runtime without program', '[runtimes.x]', /:1: runtimes\.x\.path: .*found ""$/],
    [
      'a state directory too long for sockets',
      `state = "/${'x'.repeat(21)}"`,
      /:1: state: expected a path of at most 21 bytes, found one of 22/,
    ],
    [
      'one directory for both',
      'root = "/srv/s"\nstate = "/srv/s"',
      /:2: state: expected another directory than root/,
    ],
    ['no TOML', 'root = "/a"\nstate =', /^\/etc\/c\.toml:2:\d+: not TOML: /],
    ['a key given twice', 'root = "/a"\nroot = "/b"', /^\/etc\/c\.toml:2:\d+: not TOML: /],
  ];
  for (const [what, text, message] of table) {
    it(what, () => assert.match(problemsOf(text), message));
  }

  it('tells all problems at once', () => {
    assert.equal(problemsOf('rot = "/a"\n[log]\nlevel = 3\ncolour = true').split('\n').length, 3);
  });
});

describe('files, drop-ins and the command line', () => {
  let directory: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'sk-config-'));
    await mkdir(join(directory, 'config.d'));
    await writeFile(
      join(directory, 'config.toml'),
      '[log]\nlevel = "warn"\n[cni]\nbin_dirs = ["/a", "/b"]\nmax_conf_num = 2\n[runtimes.kata]\npath = "/opt/kata"\n',
    );
    await writeFile(join(directory, 'config.d', '20-late.toml'), '[cni]\nbin_dirs = ["/late"]\n');
    await writeFile(
      join(directory, 'config.d', '10-early.toml'),
      '[cni]\nbin_dirs = ["/early"]\nmax_conf_num = 5\n',
    );
    await writeFile(join(directory, 'config.d', '30-not.toml.bak'), 'nonsense');
  });
  after(() => rm(directory, { recursive: true }));

  it('are merged: later wins, tables by key, lists as a whole', async () => {
    const config = await loadConfig(configSource(join(directory, 'config.toml'), { state: '/run/other' }));
    assert.deepEqual(config.cni.binDirs, ['/late']);
    assert.equal(config.cni.maxConfNum, 5);
    assert.equal(config.log.level, 'warn');
    assert.equal(config.state, '/run/other');
    assert.deepEqual(Object.keys(config.runtimes), ['runc', 'crun', 'kata']);
    assert.equal(config.runtimes.kata?.path, '/opt/kata');
  });

  it('are listed in the order of reading', async () => {
    const files = await configFiles(configSource(join(directory, 'config.toml')));
    assert.deepEqual(
      files,
      ['config.toml', 'config.d/10-early.toml', 'config.d/20-late.toml'].map((name) => join(directory, name)),
    );
  });

  it('a wrong drop-in is named', async () => {
    const bad = join(directory, 'config.d', '40-bad.toml');
    await writeFile(bad, '[log]\nlevel = "verbose"\n');
    await assert.rejects(loadConfig(configSource(join(directory, 'config.toml'))), (error: Error) =>
      error.message.startsWith(`${bad}:2: log.level`),
    );
    await rm(bad);
  });

  it('a file that the user named must be there', async () => {
    await assert.rejects(
      loadConfig(configSource(join(directory, 'none.toml'))),
      /there is no file .*none\.toml/,
    );
  });

  it('the result cannot be changed', async () => {
    const config = await loadConfig(configSource(join(directory, 'config.toml')));
    assert.throws(() => Object.assign(config.log, { level: 'debug' }), TypeError);
    assert.throws(() => (config.cni.binDirs as string[]).push('/x'), TypeError);
    assert.throws(() => Object.assign(config.runtimes, { x: 1 }), TypeError);
  });
});

describe('the line of a key', () => {
  const source =
    'root = "/a"\n[cni] # networks\nconf_dir = "/c"\n\n[image.registries."h:5000"]\nplain_http = true\nimage2.a = 1\n';
  const table: [path: string[], line: number | undefined][] = [
    [['root'], 1],
    [['cni'], 2],
    [['cni', 'conf_dir'], 3],
    [['image', 'registries', 'h:5000', 'plain_http'], 6],
    [['image', 'registries'], 5],
    [['nowhere'], undefined],
  ];
  for (const [path, line] of table) {
    it(`${path.join(' > ')} is ${line}`, () => assert.equal(lineOf(source, path), line));
  }
});

it('the edit distance counts insertions, removals, replacements and swaps', () => {
  const table: [string, string, number][] = [
    ['', 'abc', 3],
    ['abc', 'abc', 0],
    ['level', 'levle', 1],
    ['state', 'stat', 1],
    ['kitten', 'sitting', 3],
  ];
  for (const [a, b, distance] of table) assert.equal(editDistance(a, b), distance, `${a} ${b}`);
});
