import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { renderTemplate, writeFromTemplate } from '../../../../src/os/cni/template.ts';

const TEMPLATE = `{"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"bridge","ipam":
  {"type":"host-local","ranges":{{.PodCIDRRanges}},"routes":{{ .Routes }},"first":"{{.PodCIDR}}"}}]}`;

describe('CNI template', () => {
  let directory: string;
  let template: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'skiff-cni-'));
    template = join(directory, 'template');
    await writeFile(template, TEMPLATE);
  });
  afterEach(() => rm(directory, { recursive: true }));

  it('fills in both families', () => {
    const { ipam } = JSON.parse(renderTemplate(TEMPLATE, ['10.4.0.0/24', 'fd04::/64'])).plugins[0];
    assert.deepEqual(ipam.ranges, [[{ subnet: '10.4.0.0/24' }], [{ subnet: 'fd04::/64' }]]);
    assert.deepEqual(ipam.routes, [{ dst: '0.0.0.0/0' }, { dst: '::/0' }]);
    assert.equal(ipam.first, '10.4.0.0/24');
  });

  it('writes one configuration and leaves one that is there, also a broken one', async () => {
    const confDir = join(directory, 'net.d');
    const file = await writeFromTemplate(confDir, template, ['10.4.0.0/24']);
    assert.equal(JSON.parse(await readFile(file!, 'utf8')).plugins[0].ipam.first, '10.4.0.0/24');
    assert.equal(await writeFromTemplate(confDir, template, ['10.5.0.0/24']), null);
    await writeFile(file!, '{');
    assert.equal(await writeFromTemplate(confDir, template, ['10.5.0.0/24']), null);
    assert.deepEqual(await readdir(confDir), ['10-skiff.conflist']);
  });

  it('writes nothing that it could not read back', async () => {
    const confDir = join(directory, 'net.d');
    await assert.rejects(writeFromTemplate(confDir, template, ['10.4.0.0']), /"10\.4\.0\.0" is not a CIDR/);
    await writeFile(template, '{"name":"pods"');
    await assert.rejects(writeFromTemplate(confDir, template, ['10.4.0.0/24']), /not JSON/);
    await writeFile(template, '{"name":"{{range .X}}"}');
    await assert.rejects(writeFromTemplate(confDir, template, ['10.4.0.0/24']), /unknown field/);
    assert.deepEqual(await readdir(directory), ['template']);
  });
});
