import assert from 'node:assert/strict';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cni } from '../../../../src/os/cni/cni.ts';
import { TestNetwork } from './network.ts';

const RESULT = '{"cniVersion":"1.1.0","ips":[{"address":"10.9.9.9/24"}]}';
const VERSIONS = (...versions: string[]) =>
  `[ $CNI_COMMAND = VERSION ] && echo '{"cniVersion":"1.1.0","supportedVersions":${JSON.stringify(versions)}}'`;

describe('CNI protocol', () => {
  let net: TestNetwork;
  beforeEach(async () => {
    net = await TestNetwork.make(33);
  });
  afterEach(() => net.end());

  it('derives the request of a plugin from the configuration and the pod', async () => {
    await net.script('noter', `[ $CNI_COMMAND = ADD ] && echo '${RESULT}'; exit 0`);
    await net.configure([
      { type: 'noter', own: { deep: [1] }, capabilities: { portMappings: true, mac: true, dns: false } },
    ]);
    const cni = await net.cni();
    const portMappings = [{ hostPort: 1, containerPort: 2, protocol: 'udp' }];
    const pod = await net.pod({ portMappings, dns: { servers: ['1.1.1.1'], searches: [], options: [] } });
    const network = await cni.add(pod);
    // `capabilities` must not be set (SPEC.md, "Deriving request configuration").
    const request = {
      cniVersion: '1.0.0',
      name: 'test33',
      type: 'noter',
      own: { deep: [1] },
      runtimeConfig: { portMappings },
    };
    assert.deepEqual(await net.input('noter', 'ADD'), request);
    await cni.check(pod, network);
    assert.deepEqual(await net.input('noter', 'CHECK'), { ...request, prevResult: JSON.parse(RESULT) });
    await cni.del({ ...pod, netns: '/run/netns/gone' }, network);
    assert.deepEqual(await net.calls('noter'), [`ADD ${pod.netns}`, `CHECK ${pod.netns}`, 'DEL ']);
  });

  it('does not check where the list forbids it', async () => {
    await net.script('noter', `[ $CNI_COMMAND = ADD ] && echo '${RESULT}'; exit 0`);
    await net.configure([{ type: 'noter' }], { disableCheck: true });
    const cni = await net.cni();
    const pod = await net.pod();
    await cni.check(pod, await cni.add(pod));
    assert.equal((await net.calls('noter')).length, 1);
  });

  it('uses the newest version that configuration and plugins share', async () => {
    await net.script(
      'older',
      `${VERSIONS('0.4.0', '1.0.0')}; [ $CNI_COMMAND = ADD ] && echo '${RESULT}'; exit 0`,
    );
    await net.configure([{ type: 'older' }], {
      cniVersion: '1.1.0',
      cniVersions: ['0.4.0', '1.0.0', '1.1.0'],
    });
    const cni = await net.cni();
    const pod = await net.pod();
    const network = await cni.add(pod);
    assert.equal((await net.input('older', 'ADD')).cniVersion, '1.0.0');
    await cni.del(pod, network);
    assert.equal((await net.input('older', 'DEL')).cniVersion, '1.0.0');
    assert.equal((await net.calls('older')).filter((line) => line.startsWith('VERSION')).length, 1);
    await net.configure([{ type: 'older' }], { cniVersion: '1.1.0', cniVersions: ['1.1.0', '0.3.1'] });
    await cni.reload();
    await assert.rejects(cni.add(pod), /share none of the versions 0\.3\.1, 1\.1\.0/);
  });

  it('asks STATUS and GC of a list at 1.1.0', async () => {
    const flag = join(net.directory, 'full');
    await net.script(
      'modern',
      `[ $CNI_COMMAND = STATUS ] && [ -e ${flag} ] && { echo '{"cniVersion":"1.1.0","code":50,"msg":"no addresses left"}'; exit 1; }; exit 0`,
    );
    await writeFile(flag, '');
    await net.configure([{ type: 'modern' }], { cniVersion: '1.1.0' });
    const cni = await net.cni();
    assert.match(cni.status().message, /modern \(STATUS\): no addresses left/);
    await rm(flag);
    await until(() => cni.status().ready, 8000);
    const valid = [{ containerID: 'abc', ifname: 'eth0' }];
    await cni.gc(valid);
    assert.deepEqual((await net.input('modern', 'GC'))['cni.dev/valid-attachments'], valid);
  });

  it('asks neither of a list at 1.0.0', async () => {
    await net.script('plain', 'exit 0');
    await net.configure([{ type: 'plain' }]);
    const cni = await net.cni();
    await cni.gc([]);
    assert.equal(cni.status().ready, true);
    assert.deepEqual(await net.calls('plain'), []);
  });
});

describe('CNI configuration that changes', () => {
  let net: TestNetwork;
  let cni: Cni;
  beforeEach(async () => {
    net = await TestNetwork.make(34);
    await net.script('noter', `[ $CNI_COMMAND = ADD ] && echo '${RESULT}'; exit 0`);
    cni = await net.cni();
  });
  afterEach(() => net.end());

  it('is not ready without one, and says what to do', async () => {
    assert.match(cni.status().message, /no CNI configuration in .*\/conf: put a \.conflist file there/);
    await assert.rejects(cni.add(await net.pod()), /no CNI configuration/);
  });

  it('is written from a template for the pod CIDR of the node, once', async () => {
    const template = join(net.directory, 'template');
    await writeFile(
      template,
      '{"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"noter","cidr":"{{.PodCIDR}}"}]}',
    );
    const templated = await net.cni({ confTemplate: template });
    await cni.renderTemplate('10.4.0.0/24');
    await templated.renderTemplate('');
    assert.equal(templated.status().ready, false, 'no template, or no CIDR: nothing is written');
    await templated.renderTemplate('10.4.0.0/24,fd04::/64');
    await templated.renderTemplate('10.5.0.0/24');
    assert.equal((await templated.add(await net.pod())).networkName, 'pods');
    assert.equal((await net.input('noter', 'ADD')).cidr, '10.4.0.0/24');
  });

  it('follows files and the directory itself', async () => {
    await net.configure([{ type: 'noter' }]);
    await until(() => cni.status().ready);
    await writeFile(join(net.confDir, '05-broken.conflist'), '{"name":');
    await until(() => /05-broken\.conflist: the file is not JSON/.test(cni.status().message));
    await rm(join(net.confDir, '05-broken.conflist'));
    await until(() => cni.status().ready);
    await rm(net.confDir, { recursive: true });
    await until(() => !cni.status().ready);
    await mkdir(net.confDir);
    await net.configure([{ type: 'noter' }], { name: 'again' });
    await until(() => cni.status().ready);
    assert.equal((await cni.add(await net.pod())).networkName, 'again');
  });
});

async function until(holds: () => boolean, ms = 3000): Promise<void> {
  const end = performance.now() + ms;
  while (!holds()) {
    assert.ok(performance.now() < end, `not within ${ms} ms: ${holds}`);
    await sleep(50);
  }
}
