import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { absoluteCgroup, type CgroupDriver, cgroupsPath } from '../../../src/os/cgroup.ts';
import { ownCgroup, podCgroupParent } from '../../../src/sandbox/cgroup-parent.ts';
import { sandboxConfig, sandboxRow } from './config.ts';

const SLICE = 'kubepods-burstable-pod11_22.slice';

describe('pod cgroup', () => {
  // What the kubelet sends (pod_container_manager_linux.go), what runc takes (libcontainer/cgroups) and where it ends up.
  const cases: [driver: CgroupDriver, sent: string, parent: string, path: string, directory: string][] = [
    [
      'cgroupfs',
      '/kubepods/burstable/pod11',
      '/kubepods/burstable/pod11',
      '/kubepods/burstable/pod11/c1',
      '/kubepods/burstable/pod11/c1',
    ],
    ['cgroupfs', 'kubepods//pod11/', '/kubepods/pod11', '/kubepods/pod11/c1', '/kubepods/pod11/c1'],
    [
      'cgroupfs',
      `/kubepods.slice/${SLICE}`,
      `/kubepods.slice/${SLICE}`,
      `/kubepods.slice/${SLICE}/c1`,
      `/kubepods.slice/${SLICE}/c1`,
    ],
    [
      'systemd',
      SLICE,
      SLICE,
      `${SLICE}:skiff:c1`,
      `/kubepods.slice/kubepods-burstable.slice/${SLICE}/skiff-c1.scope`,
    ],
    [
      'systemd',
      `/kubepods.slice/kubepods-burstable.slice/${SLICE}`,
      SLICE,
      `${SLICE}:skiff:c1`,
      `/kubepods.slice/kubepods-burstable.slice/${SLICE}/skiff-c1.scope`,
    ],
    ['systemd', '', '', 'system.slice:skiff:c1', '/system.slice/skiff-c1.scope'],
    ['cgroupfs', '/', '/', '/c1', '/c1'],
  ];
  for (const [driver, sent, parent, path, directory] of cases)
    it(`${driver} takes ${JSON.stringify(sent)}`, () => {
      assert.equal(podCgroupParent(driver, sent), parent);
      assert.equal(cgroupsPath(driver, parent, 'c1'), path);
      assert.equal(absoluteCgroup(driver, parent, 'c1'), `/sys/fs/cgroup${directory}`);
    });

  it('gives a pod without one a cgroup that goes with it', () => {
    const id = 'b'.repeat(64);
    const parent = podCgroupParent('cgroupfs', '', id);
    assert.equal(parent, `/skiff-${'b'.repeat(16)}`);
    const row = sandboxRow(sandboxConfig(), { id, cgroupParent: parent });
    assert.equal(ownCgroup('cgroupfs', row), `/sys/fs/cgroup${parent}`);
  });

  it("never owns the kubelet's cgroup", () => {
    const config = sandboxConfig({ cgroupParent: '/kubepods/podx' });
    assert.equal(ownCgroup('cgroupfs', sandboxRow(config, { cgroupParent: '/kubepods/podx' })), null);
    assert.equal(ownCgroup('systemd', sandboxRow(sandboxConfig())), null);
  });

  it('refuses what leaves the root or does not suit the driver', () => {
    assert.throws(() => podCgroupParent('cgroupfs', '/kubepods/../../etc'), /must not leave the cgroup root/);
    assert.throws(
      () => podCgroupParent('systemd', '/kubepods/podx'),
      /set cgroupDriver of the kubelet to systemd/,
    );
    assert.throws(() => podCgroupParent('systemd', 'a--b.slice'), /not a valid slice name/);
    assert.throws(() => podCgroupParent('systemd', '.slice'), /not a valid slice name/);
  });
});
