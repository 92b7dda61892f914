import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { podBandwidth } from '../../../src/sandbox/bandwidth.ts';
import { networkRequest } from '../../../src/sandbox/network-request.ts';
import { sandboxConfig, sandboxRow } from './config.ts';

const INGRESS = 'kubernetes.io/ingress-bandwidth';
const EGRESS = 'kubernetes.io/egress-bandwidth';

describe('networkRequest', () => {
  it('says who the pod is and what it wants', () => {
    const config = sandboxConfig({
      cgroupParent: '/kubepods/podx',
      annotations: { 'io.skiff.cni.ips': '10.1.0.9, fd00::9/64', 'io.skiff.cni.mac': '00:11:22:33:44:55' },
      portMappings: [
        { protocol: 'udp', containerPort: 53, hostPort: 5353, hostIp: '127.0.0.1' },
        { protocol: 'tcp', containerPort: 80, hostPort: 8080, hostIp: '' },
        { protocol: 'tcp', containerPort: 81, hostPort: 0, hostIp: '' },
      ],
    });
    const request = networkRequest(sandboxRow(config));
    assert.deepEqual(request.portMappings, [
      { hostPort: 5353, containerPort: 53, protocol: 'udp', hostIP: '127.0.0.1' },
      { hostPort: 8080, containerPort: 80, protocol: 'tcp' },
    ]);
    assert.deepEqual([request.name, request.namespace, request.uid], ['web-0', 'shop', '11-22']);
    assert.equal(request.netns, '/run/netns/skiff-aaaaaaaaaaaaaaaa');
    assert.equal(request.cgroupPath, '/kubepods/podx');
    assert.deepEqual(request.ips, ['10.1.0.9', 'fd00::9/64']);
    assert.equal(request.mac, '00:11:22:33:44:55');
  });

  it('refuses annotations that are not what they should be', () => {
    const of = (annotations: Record<string, string>) => () =>
      networkRequest(sandboxRow(sandboxConfig({ annotations })));
    assert.throws(of({ 'io.skiff.cni.ips': 'any' }), /"any" is not an IP address/);
    assert.throws(of({ 'io.skiff.cni.mac': '00:11' }), /not a hardware address/);
    assert.throws(of({ [INGRESS]: 'fast' }), /"fast" is not a quantity/);
  });
});

describe('podBandwidth', () => {
  // Quantities as in the Kubernetes API conventions, in bits per second.
  for (const [text, rate] of [
    ['10M', 10_000_000],
    ['1Gi', 2 ** 30],
    ['1.5k', 1500],
    ['2e3', 2000],
    ['4096', 4096],
  ] as const)
    it(`reads ${text}`, () => assert.equal(podBandwidth({ [INGRESS]: text })?.ingressRate, rate));

  it('names only what is given', () => {
    assert.equal(podBandwidth({}), null);
    const egress = podBandwidth({ [EGRESS]: '1M' });
    assert.equal(egress?.egressRate, 1e6);
    assert.equal(egress !== null && 'ingressRate' in egress, false);
  });

  for (const text of ['', '1', '10m', '-5M', '2000P', '1MB'])
    it(`refuses ${JSON.stringify(text)}`, () =>
      assert.throws(() => podBandwidth({ [EGRESS]: text }), /egress-bandwidth/));
});
