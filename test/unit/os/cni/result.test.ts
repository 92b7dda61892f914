import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseResult, podAddresses } from '../../../../src/os/cni/result.ts';

/** The result of `bridge` in the appendix of SPEC.md 1.1.0. */
const SPEC_BRIDGE = {
  ips: [{ address: '10.1.0.5/16', gateway: '10.1.0.1', interface: 2 }],
  routes: [{ dst: '0.0.0.0/0' }],
  interfaces: [
    { name: 'cni0', mac: '00:11:22:33:44:55' },
    { name: 'veth3243', mac: '55:44:33:22:11:11' },
    { name: 'eth0', mac: '99:88:77:66:55:44', sandbox: '/var/run/netns/blue' },
  ],
  dns: { nameservers: ['10.1.0.1'] },
};

describe('podAddresses', () => {
  it("reads the specification's example", () => {
    const { ips, gateway, interfaces } = podAddresses(SPEC_BRIDGE, 'eth0');
    assert.deepEqual({ ips, gateway }, { ips: ['10.1.0.5'], gateway: '10.1.0.1' });
    assert.equal(interfaces.length, 3);
  });

  it('puts IPv4 first and keeps the order within a family', () => {
    const eth0 = { name: 'eth0', sandbox: '/run/netns/x' };
    const ips = ['fd00::5/64', '10.1.0.5/16', 'fd00::6/64', '10.2.0.5/16'].map((address) => ({
      address,
      interface: 0,
    }));
    const result = { interfaces: [eth0], ips: [{ ...ips[0]!, gateway: 'fd00::1' }, ...ips.slice(1)] };
    const read = podAddresses(result, 'eth0');
    assert.deepEqual(read.ips, ['10.1.0.5', '10.2.0.5', 'fd00::5', 'fd00::6']);
    assert.equal(read.gateway, '', 'the gateway is that of the first address');
  });

  it('takes addresses without an interface, and no others than those of the pod', () => {
    const interfaces = [
      { name: 'eth0', sandbox: '' },
      { name: 'eth0', sandbox: '/run/netns/x' },
      { name: 'net1', sandbox: '/run/netns/x' },
    ];
    const ips = [
      { address: '10.0.0.1/24', interface: 0 },
      { address: '10.0.0.2/24', interface: 1 },
      { address: '10.0.0.3/24', interface: 2 },
      { address: '10.0.0.4/24' },
    ];
    assert.deepEqual(podAddresses({ interfaces, ips }, 'eth0').ips, ['10.0.0.2', '10.0.0.4']);
  });

  it('takes an interface of the right name where the plugin leaves `sandbox` out', () => {
    const ips = [{ address: '10.0.0.1/24', interface: 0 }];
    assert.deepEqual(podAddresses({ interfaces: [{ name: 'eth0' }], ips }, 'eth0').ips, ['10.0.0.1']);
    assert.deepEqual(podAddresses({ interfaces: [{ name: 'cni0' }], ips }, 'eth0').ips, []);
  });

  it('reads `version` of 0.3.1 and 0.4.0 entries as nothing special', () => {
    const ips = [{ version: '4', address: '10.1.0.5/16', gateway: '10.1.0.1', interface: 2 }];
    assert.deepEqual(podAddresses({ ...SPEC_BRIDGE, cniVersion: '0.3.1', ips }, 'eth0').ips, ['10.1.0.5']);
  });

  it('reads ip4 and ip6 of 0.2.0', () => {
    const result = parseResult(
      Buffer.from(
        '{"cniVersion":"0.2.0","ip4":{"ip":"10.1.0.5/16","gateway":"10.1.0.1"},"ip6":{"ip":"fd00::5/64"}}',
      ),
      'old',
    );
    assert.deepEqual(podAddresses(result, 'eth0').ips, ['10.1.0.5', 'fd00::5']);
    assert.equal(podAddresses(result, 'eth0').gateway, '10.1.0.1');
  });

  it('gives none where there is none', () => {
    assert.deepEqual(podAddresses({}, 'eth0').ips, []);
  });

  it('refuses an index that points nowhere and an address that is none', () => {
    const ips = [{ address: '10.1.0.5/16', interface: 3 }];
    assert.throws(() => podAddresses({ ...SPEC_BRIDGE, ips }, 'eth0'), /names interface 3 of 3/);
    assert.throws(() => podAddresses({ ips: [{ address: 'blue' }] }, 'eth0'), /"blue" is not an IP address/);
  });
});

describe('parseResult', () => {
  for (const text of ['', 'panic: oops', '[]', 'null'])
    it(`names the plugin that printed ${JSON.stringify(text)}`, () => {
      assert.throws(() => parseResult(Buffer.from(text), 'odd'), /CNI plugin odd printed a result/);
    });
});
