import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  canonicalSysctl,
  defaultSysctls,
  effectiveSysctls,
  interfaceSysctls,
  validateSysctls,
} from '../../../src/sandbox/sysctls.ts';
import { sandboxConfig } from './config.ts';

const DEFAULTS = defaultSysctls({ unprivilegedPorts: true, unprivilegedIcmp: true });

describe('sysctls', () => {
  it('gives a pod with its own network the defaults, which it may change', () => {
    const config = sandboxConfig({
      sysctls: { 'net/ipv4/ip_unprivileged_port_start': '80', 'kernel.shm_rmid_forced': '1' },
    });
    assert.deepEqual(effectiveSysctls(config, DEFAULTS), [
      ['net.ipv4.ip_unprivileged_port_start', '80'],
      ['net.ipv4.ping_group_range', '0 2147483647'],
      ['kernel.shm_rmid_forced', '1'],
    ]);
  });

  it('gives no network default to a pod in the network of the node', () => {
    assert.deepEqual(effectiveSysctls(sandboxConfig({}, { network: 'node' }), DEFAULTS), []);
    assert.deepEqual(defaultSysctls({ unprivilegedPorts: false, unprivilegedIcmp: false }), {});
  });

  it('keeps those of an interface for later', () => {
    const late = { 'net.ipv4.conf.eth0.rp_filter': '0', 'net/ipv6/conf/eth0.7/forwarding': '1' };
    const early = {
      'net.ipv4.conf.all.rp_filter': '0',
      'net.ipv4.conf.lo.rp_filter': '0',
      'net.ipv4.neigh.default.gc_thresh1': '9',
    };
    const config = sandboxConfig({ sysctls: { ...late, ...early } });
    assert.deepEqual(effectiveSysctls(config, {}), Object.entries(early));
    assert.deepEqual(interfaceSysctls(config), [
      ['net.ipv4.conf.eth0.rp_filter', '0'],
      ['net.ipv6.conf.eth0/7.forwarding', '1'],
    ]);
  });

  // sysctl(8): the first separator tells which one is used; the other is part of a name.
  for (const [given, canonical] of [
    ['net.ipv4.ip_forward', 'net.ipv4.ip_forward'],
    ['net/ipv4/ip_forward', 'net.ipv4.ip_forward'],
    ['net/ipv4/conf/eth0.100/forwarding', 'net.ipv4.conf.eth0/100.forwarding'],
    ['net.ipv4.conf.eth0/100.forwarding', 'net.ipv4.conf.eth0/100.forwarding'],
  ] as const)
    it(`reads ${given}`, () => assert.equal(canonicalSysctl(given), canonical));

  const refused: [key: string, namespaces: object, message: RegExp][] = [
    ['net.core.somaxconn', { network: 'node' }, /host network/],
    ['kernel.shmmax', { ipc: 'node' }, /host IPC/],
    ['fs.mqueue.msg_max', { ipc: 'node' }, /host IPC/],
    ['kernel.domainname', { network: 'node' }, /host network/],
    ['kernel.hostname', {}, /field hostname/],
    ['vm.swappiness', {}, /not of a namespace/],
    ['kernel.panic', {}, /not of a namespace/],
    ['net', {}, /not the name/],
    ['net/../kernel/panic', {}, /not the name/],
    ['net..core', {}, /not the name/],
    ['', {}, /not the name/],
  ];
  for (const [key, namespaces, message] of refused)
    it(`refuses ${JSON.stringify(key)} ${JSON.stringify(namespaces)}`, () => {
      assert.throws(() => validateSysctls(sandboxConfig({ sysctls: { [key]: '1' } }, namespaces)), message);
    });

  it('allows those of namespaces that the pod has', () => {
    const sysctls = {
      'kernel.sem': '1 2 3 4',
      'fs.mqueue.msg_max': '9',
      'net.core.somaxconn': '9',
      'kernel.domainname': 'x',
    };
    assert.doesNotThrow(() => validateSysctls(sandboxConfig({ sysctls })));
  });
});
