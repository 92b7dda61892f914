import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { unpinSandbox, writeNetSysctls } from '../../../../src/os/namespaces.ts';
import { run } from '../../../../src/os/process.ts';
import type { SandboxNetwork } from '../../../../src/sandbox/types.ts';
import { page, rulesWith, TestNetwork } from './network.ts';

/** Real plugins: bridge, host-local, portmap, firewall. */
describe('CNI with the plugins of the distribution', () => {
  let net: TestNetwork;
  beforeEach(async () => {
    net = await TestNetwork.make(31);
    await net.configure(net.plugins());
  });
  afterEach(() => net.end());

  it('gives an address that answers, and takes all of it back', async () => {
    const cni = await net.cni();
    assert.deepEqual(cni.status(), { ready: true, reason: '', message: '' });
    const pod = await net.pod();
    const network = await cni.add(pod);
    assert.match(network.ip, /^10\.199\.31\.\d+$/);
    assert.equal(network.networkName, 'test31');
    execFileSync('/usr/bin/busybox', ['ping', '-c', '1', '-W', '2', network.ip]);
    await net.serve(pod.netns);
    assert.equal(await page(network.ip, 80), 'hello from the pod\n');
    await cni.check(pod, network);
    assert.deepEqual(await net.addresses(), [network.ip]);

    await cni.del(pod, network);
    assert.deepEqual(await net.addresses(), []);
    assert.deepEqual(rulesWith(network.ip, pod.id), []);
    const links = await run('/usr/sbin/ip', ['-o', 'link'], { netns: pod.netns });
    assert.equal(links.stdout.toString().includes('eth0'), false);
    await cni.del(pod, network);
  });

  it('answers on a host port', async () => {
    const cni = await net.cni();
    const pod = await net.pod({ portMappings: [{ hostPort: 18031, containerPort: 80, protocol: 'tcp' }] });
    const network = await cni.add(pod);
    await net.serve(pod.netns);
    assert.equal(await page('127.0.0.1', 18031), 'hello from the pod\n');
    assert.notDeepEqual(rulesWith('18031'), []);
    await cni.del(pod, network);
    assert.deepEqual(rulesWith('18031', network.ip, pod.id), []);
  });

  it('serves pods side by side', async () => {
    const cni = await net.cni();
    const pods = await Promise.all(Array.from({ length: 6 }, () => net.pod()));
    const networks = await Promise.all(pods.map((pod) => cni.add(pod)));
    assert.equal(new Set(networks.map(({ ip }) => ip)).size, 6);
    await net.serve(pods[0]!.netns);
    const asked = await run('/usr/bin/busybox', ['wget', '-q', '-O', '-', `http://${networks[0]!.ip}/`], {
      netns: pods[5]!.netns,
    });
    assert.equal(asked.stdout.toString(), 'hello from the pod\n');

    await Promise.all(pods.map((pod, i) => cni.del(pod, networks[i]!)));
    assert.deepEqual(await net.addresses(), []);
    assert.deepEqual(rulesWith(...networks.map(({ ip }) => `${ip}/32`), ...pods.map(({ id }) => id)), []);
  });

  it('detaches a pod whose network namespace went first', async () => {
    // Without ipMasq: the bridge plugin of before 1.2 finds those rules only through the namespace.
    const [bridge, ...chained] = net.plugins();
    await net.configure([{ ...bridge, ipMasq: false }, ...chained]);
    const cni = await net.cni();
    const pod = await net.pod({ portMappings: [{ hostPort: 18031, containerPort: 80, protocol: 'tcp' }] });
    const network = await cni.add(pod);
    await unpinSandbox({ net: pod.netns, ipc: null, uts: null });
    await cni.del(pod, network);
    assert.deepEqual(await net.addresses(), []);
    assert.deepEqual(rulesWith(`${network.ip}/32`, pod.id, '18031'), []);
    await cni.del(pod, network);
  });

  it('detaches after a restart although the configuration is gone', async () => {
    const pod = await net.pod();
    const before = await net.cni();
    // As the row comes back from the state store.
    const stored: SandboxNetwork = JSON.parse(JSON.stringify(await before.add(pod)));
    before.stop();
    await rm(net.confDir, { recursive: true });
    const after = await net.cni();
    assert.equal(after.status().ready, false);
    await after.del(pod, stored);
    assert.deepEqual(await net.addresses(), []);
    assert.deepEqual(rulesWith(stored.ip, pod.id), []);
  });

  it('detaches a pod whose result was lost by the configuration of now', async () => {
    const cni = await net.cni();
    const pod = await net.pod();
    await cni.add(pod);
    await cni.del(pod, null);
    assert.deepEqual(await net.addresses(), []);
  });

  it('gives a pod two networks where two may be used', async () => {
    const second = [{ ...net.plugins()[0], bridge: `${net.bridge}b` }];
    await net.configure(second, { name: 'test31b' }, '20-second.conflist');
    const cni = await net.cni({ maxConfNum: 0 });
    const pod = await net.pod();
    const network = await cni.add(pod);
    assert.deepEqual(
      network.more.map(({ networkName }) => networkName),
      ['test31b'],
    );
    const links = await run('/usr/sbin/ip', ['-o', 'link'], { netns: pod.netns });
    assert.match(links.stdout.toString(), /eth1/);
    await cni.del(pod, network);
    assert.deepEqual(await net.addresses(), []);
    execFileSync('ip', ['link', 'delete', `${net.bridge}b`]);
  });

  it('sets sysctls of an interface once it is there', async () => {
    const cni = await net.cni();
    const pod = await net.pod();
    const network = await cni.add(pod);
    await writeNetSysctls(pod.netns, [['net.ipv4.conf.eth0.log_martians', '1']]);
    const read = await run('/bin/cat', ['/proc/sys/net/ipv4/conf/eth0/log_martians'], { netns: pod.netns });
    assert.equal(read.stdout.toString(), '1\n');
    await assert.rejects(
      writeNetSysctls(pod.netns, [['net.ipv4.conf.eth9.x', '1']]),
      /net\.ipv4\.conf\.eth9\.x/,
    );
    await cni.del(pod, network);
  });
});
