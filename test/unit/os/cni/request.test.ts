import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type CniRequest, capabilityArgs, cniArgs, runtimeConfig } from '../../../../src/os/cni/request.ts';

const REQUEST: CniRequest = {
  id: 'abc',
  netns: '/run/netns/skiff-abc',
  ifName: 'eth0',
  name: 'web-0',
  namespace: 'shop',
  uid: '11-22',
  annotations: { a: 'b' },
  portMappings: [],
  dns: null,
  bandwidth: null,
  ips: [],
  mac: '',
  cgroupPath: '',
};

describe('CNI arguments', () => {
  it('tells Kubernetes plugins which pod it is', () => {
    assert.equal(
      cniArgs(REQUEST),
      'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=abc;K8S_POD_UID=11-22',
    );
  });

  it('lets no value smuggle in another argument', () => {
    assert.throws(() => cniArgs({ ...REQUEST, name: 'x;K8S_POD_NAMESPACE=kube-system' }), /K8S_POD_NAME/);
  });
});

describe('capability arguments', () => {
  const full: CniRequest = {
    ...REQUEST,
    portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
    dns: { servers: ['10.0.0.10'], searches: ['svc'], options: ['ndots:5'] },
    bandwidth: { ingressRate: 2048, ingressBurst: 1600 },
    ips: ['10.1.0.9'],
    mac: '00:11:22:33:44:66',
    cgroupPath: '/kubepods/podx',
  };

  it('leaves out what the pod does not ask for', () => {
    assert.deepEqual(capabilityArgs(REQUEST), { 'io.kubernetes.cri.pod-annotations': { a: 'b' } });
  });

  it('gives a plugin what it declares and nothing else', () => {
    const args = capabilityArgs(full);
    const give = (capabilities: Record<string, boolean>) => runtimeConfig({ type: 'p', capabilities }, args);
    assert.deepEqual(give({ portMappings: true }), { portMappings: full.portMappings });
    assert.deepEqual(give({ mac: true, ips: true, aliases: true, dns: false }), {
      mac: full.mac,
      ips: full.ips,
    });
    assert.deepEqual(give({ 'io.kubernetes.cri.pod-annotations': true, cgroupPath: true }), {
      'io.kubernetes.cri.pod-annotations': { a: 'b' },
      cgroupPath: '/kubepods/podx',
    });
    assert.deepEqual(give({ bandwidth: true, dns: true }), { bandwidth: full.bandwidth, dns: full.dns });
    assert.equal(give({ toString: true }), undefined);
    assert.equal(runtimeConfig({ type: 'p' }, args), undefined);
  });
});
