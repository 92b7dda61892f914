import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { loadNetworks, parseConf, parseConflist } from '../../../../src/os/cni/config.ts';

const LIST = (name: string) =>
  JSON.stringify({ cniVersion: '1.0.0', name, plugins: [{ type: 'bridge', bridge: 'cni0' }] });

describe('CNI configuration directory', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'skiff-cni-'));
  });
  afterEach(() => rm(directory, { recursive: true }));
  const put = (name: string, text: string) => writeFile(join(directory, name), text);

  it('takes files in the order of their names, whatever their kind', async () => {
    await put('20-b.conflist', LIST('b'));
    await put('10-a.conf', '{"cniVersion":"0.4.0","name":"a","type":"ptp"}');
    await put('15-c.json', '{"cniVersion":"0.4.0","name":"c","type":"ptp"}');
    await put('05-ignored.conflist.tmp', 'not even JSON');
    await put('README', 'nor this');
    await mkdir(join(directory, '01-directory.conf'));
    const names = (await loadNetworks(directory, 0)).map(({ list }) => list.name);
    assert.deepEqual(names, ['a', 'c', 'b']);
    assert.deepEqual(
      (await loadNetworks(directory, 1)).map(({ list }) => list.name),
      ['a'],
    );
  });

  it('sorts by bytes, so that capitals come first as in Go', async () => {
    await put('a.conflist', LIST('small'));
    await put('B.conflist', LIST('capital'));
    assert.equal((await loadNetworks(directory, 1))[0]!.list.name, 'capital');
  });

  it('gives none for an empty or absent directory', async () => {
    assert.deepEqual(await loadNetworks(directory, 1), []);
    assert.deepEqual(await loadNetworks(join(directory, 'absent'), 1), []);
  });

  it('fails by the name of the broken file, and does not pass it over', async () => {
    await put('10-broken.conflist', '{"name": "x", "plugins": [');
    await put('20-good.conflist', LIST('good'));
    await assert.rejects(loadNetworks(directory, 1), /10-broken\.conflist: the file is not JSON/);
  });

  it('never reads behind max_conf_num', async () => {
    await put('10-good.conflist', LIST('good'));
    await put('20-broken.conflist', '{');
    assert.equal((await loadNetworks(directory, 1)).length, 1);
  });

  it('appends plugins from the directory of the network unless told not to', async () => {
    await mkdir(join(directory, 'net'));
    await put('net/20-z.conf', '{"type":"tuning"}');
    await put('net/10-y.conf', '{"type":"sbr"}');
    await put('10-net.conflist', LIST('net'));
    const types = async () => (await loadNetworks(directory, 1))[0]!.list.plugins.map(({ type }) => type);
    assert.deepEqual(await types(), ['bridge', 'sbr', 'tuning']);
    await put('10-net.conflist', '{"cniVersion":"1.1.0","name":"net"}');
    assert.deepEqual(await types(), ['sbr', 'tuning']);
    await put('10-net.conflist', LIST('net').replace('{', '{"loadOnlyInlinedPlugins":true,'));
    assert.deepEqual(await types(), ['bridge']);
  });
});

describe('parseConflist', () => {
  it('keeps keys of the plugin and reads the flags', () => {
    const list = parseConflist(
      '{"cniVersion":"1.0.0","name":"n","disableCheck":"True","disableGC":true,"plugins":[{"type":"p","x":{"y":[1]},"capabilities":{"dns":true}}]}',
    );
    assert.deepEqual(list, {
      name: 'n',
      cniVersion: '1.0.0',
      cniVersions: [],
      disableCheck: true,
      disableGC: true,
      plugins: [{ type: 'p', x: { y: [1] }, capabilities: { dns: true } }],
    });
  });

  // SPEC.md 1.1.0, "Version considerations".
  const versions: [given: object, selected: string][] = [
    [{}, '0.1.0'],
    [{ cniVersion: '0.3.1' }, '0.3.1'],
    [{ cniVersion: '1.1.0', cniVersions: ['0.3.1', '0.4.0', '1.0.0', '1.1.0'] }, '1.1.0'],
    [{ cniVersion: '0.4.0', cniVersions: ['1.0.0', '1.2.0', '2.0.0'] }, '1.0.0'],
    [{ cniVersion: '1.0.0', cniVersions: ['0.3.1', '0.10.0'] }, '1.0.0'],
    [{ cniVersions: ['0.4.0'] }, '0.4.0'],
  ];
  for (const [given, selected] of versions)
    it(`selects ${selected} of ${JSON.stringify(given)}`, () => {
      const list = parseConflist(JSON.stringify({ name: 'n', plugins: [{ type: 'p' }], ...given }));
      assert.equal(list.cniVersion, selected);
    });

  const wrong: [text: string, message: RegExp][] = [
    ['[]', /must be a JSON object/],
    ['{"plugins":[{"type":"p"}]}', /no "name"/],
    ['{"name":"../x","plugins":[{"type":"p"}]}', /characters/],
    ['{"name":"n","plugins":{}}', /"plugins" must be a list/],
    ['{"name":"n","plugins":[]}', /"plugins" is empty/],
    ['{"name":"n","plugins":[{"type":"p"},{}]}', /plugins\[1\] has no "type"/],
    ['{"name":"n","plugins":[{"type":"../../bin/sh"}]}', /not the file name/],
    ['{"name":"n","plugins":[{"type":".."}]}', /not the file name/],
    ['{"name":"n","cniVersion":1,"plugins":[{"type":"p"}]}', /"cniVersion" must be a string/],
    ['{"name":"n","cniVersion":"1.0","plugins":[{"type":"p"}]}', /not of the form/],
    ['{"name":"n","cniVersion":"2.0.0","plugins":[{"type":"p"}]}', /newer than 1\.1\.0/],
    ['{"name":"n","disableCheck":"maybe","plugins":[{"type":"p"}]}', /"disableCheck" must be/],
    ['{"name":"n","loadOnlyInlinedPlugins":true}', /there is no "plugins"/],
    ['{"name":"n","plugins":[{"type":"p","capabilities":[]}]}', /"capabilities" must be/],
  ];
  for (const [text, message] of wrong)
    it(`refuses ${text}`, () => assert.throws(() => parseConflist(text), message));

  it('tells of a list in a .conf file', () => {
    assert.throws(() => parseConf(LIST('n')), /rename the file to end in \.conflist/);
  });
});
