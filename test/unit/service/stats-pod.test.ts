import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { podCgroup } from '../../../src/service/stats-pod.ts';
import { sandboxConfig, sandboxRow } from '../sandbox/config.ts';

function cgroupOf(wanted: string, stored: string, uid = '0a1b-2c'): string | null {
  const metadata = { name: 'web', uid, namespace: 'shop', attempt: 0 };
  return podCgroup(sandboxRow(sandboxConfig({ cgroupParent: wanted, metadata }), { cgroupParent: stored }));
}

describe('the cgroup of a pod', () => {
  it('is the one that the kubelet made for its uid', () => {
    const path = '/kubepods/burstable/pod0a1b-2c';
    assert.equal(cgroupOf(path, path), `/sys/fs/cgroup${path}`);
    const slice = 'kubepods-burstable-pod0a1b_2c.slice';
    assert.equal(
      cgroupOf(`/kubepods.slice/kubepods-burstable.slice/${slice}`, slice),
      `/sys/fs/cgroup/kubepods.slice/kubepods-burstable.slice/${slice}`,
    );
  });

  it('is the one that was made for it where none was asked for', () => {
    assert.equal(cgroupOf('', '/skiff-aaaaaaaaaaaaaaaa'), '/sys/fs/cgroup/skiff-aaaaaaaaaaaaaaaa');
  });

  it('is none where others may share the parent', () => {
    for (const parent of ['/', '/podlike', '/kubepods/burstable', 'system.slice', 'user.slice'])
      assert.equal(cgroupOf(parent, parent), null, parent);
    assert.equal(cgroupOf('/a/pod', '/a/pod', ''), null, 'a pod without a uid');
    assert.equal(cgroupOf('', ''), null, 'the default slice of systemd');
  });
});
