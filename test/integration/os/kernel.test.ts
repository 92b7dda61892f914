import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import {
  absoluteCgroup,
  controllers,
  detectDriver,
  killCgroup,
  removeCgroup,
} from '../../../src/os/cgroup.ts';
import { readCpu, readMemory, readPids, readPsi } from '../../../src/os/cgroup-stats.ts';
import {
  bindMount,
  isMountpoint,
  mountPropagation,
  mountTmpfs,
  readMounts,
  unmount,
} from '../../../src/os/mount.ts';
import { pinSandbox, unpinSandbox } from '../../../src/os/namespaces.ts';
import { mountRootfs, unmountRootfs } from '../../../src/os/overlay.ts';
import { run } from '../../../src/os/process.ts';

/** These change the kernel's state: run them under scripts/private.sh. */
let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'skiff-kernel-'));
});
afterEach(async () => {
  const left = (await readMounts()).filter(({ target }) => target.startsWith(directory));
  for (const { target } of left) await unmount(target);
  await rm(directory, { recursive: true });
  assert.deepEqual(left, [], 'a mount was left');
});

describe('namespaces', () => {
  const paths = () => ({
    net: join(directory, 'net'),
    ipc: join(directory, 'ipc'),
    uts: join(directory, 'uts'),
  });

  it('are new ones with name, loopback and sysctls, and go without a trace', async () => {
    const pinned = await pinSandbox({
      ...paths(),
      hostname: 'pod-7',
      sysctls: [
        ['net.ipv4.ip_unprivileged_port_start', '0'],
        ['kernel.shmmax', '12345678'],
      ],
    });
    const inside = (command: string) =>
      run('/usr/bin/nsenter', [
        `--net=${pinned.net}`,
        `--ipc=${pinned.ipc}`,
        `--uts=${pinned.uts}`,
        'sh',
        '-c',
        command,
      ]);
    const said = await inside(
      'hostname; cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shmmax; ip -o addr show lo; readlink /proc/self/ns/net',
    );
    const lines = said.stdout.toString().trim().split('\n');
    assert.deepEqual(lines.slice(0, 3), ['pod-7', '0', '12345678']);
    assert.match(lines.join('\n'), /127\.0\.0\.1\/8/);
    assert.notEqual(lines.at(-1), await readlink('/proc/self/ns/net'));
    assert.equal(
      (await readMounts()).filter(({ fstype, target }) => fstype === 'nsfs' && target.startsWith(directory))
        .length,
      3,
    );

    await unpinSandbox(pinned);
    assert.deepEqual(await readdir(directory), []);
    await unpinSandbox(pinned);
  });

  it('leave nothing where one of the steps fails', async () => {
    const sysctls: [string, string][] = [['net.ipv4.no_such_thing', '1']];
    await assert.rejects(pinSandbox({ ...paths(), hostname: 'x', sysctls }), {
      code: 'invalid_argument',
      message: /make namespaces: .*no_such_thing = "1" \(ENOENT\); correct it in the pod/,
    });
    assert.deepEqual(await readdir(directory), []);
  });

  it("are the node's own where none is asked for", async () => {
    const none = { net: null, ipc: null, uts: null };
    assert.deepEqual(await pinSandbox({ ...none, hostname: 'x', sysctls: [] }), none);
    await unpinSandbox(none);
  });
});

describe('mounts', () => {
  it('mounts a tmpfs with size, mode and flags', async () => {
    const target = join(directory, 'shm');
    await mkdir(target);
    await mountTmpfs(target, { size: 1 << 20, mode: 0o1777, options: ['noexec', 'nosuid', 'nodev'] });
    assert.equal(await isMountpoint(target), true);
    assert.equal((await stat(target)).mode & 0o7777, 0o1777);
    const line = (await readFile('/proc/self/mounts', 'utf8')).split('\n').find((l) => l.includes(target));
    assert.match(line ?? '', /nosuid,nodev,noexec.*size=1024k/);
    await assert.rejects(writeFile(join(target, 'big'), Buffer.alloc(2 << 20)), /ENOSPC/);
    await unmount(target);
    assert.equal(await isMountpoint(target), false);
  });

  it('unmounts what is stacked, busy, absent or not mounted', async () => {
    const target = join(directory, 'stack');
    await mkdir(target);
    for (let i = 0; i < 3; i += 1) await mountTmpfs(target, { size: 65_536, mode: 0o755 });
    const user = spawn('/bin/sleep', ['1000'], { cwd: target });
    await once(user, 'spawn');
    await unmount(target);
    assert.equal(await isMountpoint(target), false);
    user.kill();
    await unmount(target);
    await unmount(join(directory, 'absent'));
  });

  it('binds read-only and tells propagation', async () => {
    const [source, target] = [join(directory, 'a'), join(directory, 'b')];
    await mkdir(source);
    await mkdir(target);
    await bindMount(source, target, { readonly: true });
    await assert.rejects(writeFile(join(target, 'x'), ''), /EROFS/);
    await writeFile(join(source, 'x'), '');
    assert.equal((await stat(join(target, 'x'))).size, 0);
    assert.equal(await mountPropagation(target), 'shared', 'scripts/private.sh shares /');
    await run('/bin/mount', ['--make-slave', target]);
    assert.equal(await mountPropagation(target), 'slave');
    await run('/bin/mount', ['--make-private', target]);
    assert.equal(await mountPropagation(join(target, 'deep', 'er')), 'private');
    await unmount(target);
  });
});

describe('overlay', () => {
  it('joins layers top first, takes changes above, and goes', async () => {
    const rootfs = {
      upper: join(directory, 'upper'),
      work: join(directory, 'work'),
      merged: join(directory, 'merged'),
    };
    for (const path of Object.values(rootfs)) await mkdir(path);
    const lowers: string[] = [];
    for (let i = 0; i < 127; i += 1) {
      const layer = join(directory, `layer-${i}`);
      await mkdir(layer);
      await writeFile(join(layer, 'who'), String(i));
      await writeFile(join(layer, `only-${i}`), '');
      lowers.push(layer);
    }
    await mountRootfs({ ...rootfs, lowers });
    assert.equal(await readFile(join(rootfs.merged, 'who'), 'utf8'), '0');
    assert.equal((await readdir(rootfs.merged)).length, 128);
    await writeFile(join(rootfs.merged, 'who'), 'changed');
    await rm(join(rootfs.merged, 'only-5'));
    assert.equal(await readFile(join(lowers[0]!, 'who'), 'utf8'), '0');
    assert.deepEqual((await readdir(rootfs.upper)).sort(), ['only-5', 'who']);
    await unmountRootfs(rootfs.merged);
    await assert.rejects(stat(rootfs.merged), /ENOENT/);
    await unmountRootfs(rootfs.merged);
  });

  it('says which mount failed', async () => {
    const missing = {
      lowers: [join(directory, 'no')],
      upper: join(directory, 'u'),
      work: join(directory, 'w'),
    };
    const merged = join(directory, 'm');
    await assert.rejects(mountRootfs({ ...missing, merged }), new RegExp(`mount 1 layers on ${merged}`));
  });
});

describe('cgroups', () => {
  it('reads, kills and removes a cgroup with processes in it', async () => {
    const path = absoluteCgroup('cgroupfs', '/skiff-test/pod', 'c1');
    await mkdir(path, { recursive: true });
    // It starts others only once it is in the cgroup, so that they are born there.
    const busy = spawn('/bin/sh', ['-c', 'read go; sleep 1000 & sleep 1000']);
    await writeFile(join(path, 'cgroup.procs'), String(busy.pid));
    busy.stdin.end('go\n');
    const inner = spawn('/bin/sleep', ['1000']);
    await mkdir(join(path, 'inner'));
    await writeFile(join(path, 'inner', 'cgroup.procs'), String(inner.pid));
    const ended = Promise.all([once(busy, 'exit'), once(inner, 'exit')]);

    const cpu = await readCpu(path);
    assert.ok(cpu.usageNs !== null && cpu.usageNs >= 0n);
    const memory = await readMemory(path);
    assert.ok((memory.rssBytes ?? 0) > 0, 'resident pages are counted without a memory controller too');
    assert.equal(memory.limitBytes, null);
    assert.ok(((await readPids(path)) ?? 0) >= 2);
    const psi = await readPsi(path, 'cpu');
    assert.ok(psi !== null && psi.some.totalUs >= 0n);

    await killCgroup(path);
    await ended;
    await removeCgroup(absoluteCgroup('cgroupfs', '/skiff-test', 'pod'));
    await removeCgroup('/sys/fs/cgroup/skiff-test');
    await assert.rejects(stat('/sys/fs/cgroup/skiff-test'), /ENOENT/);
    await killCgroup(path);
    await removeCgroup(path);
    assert.equal((await readCpu(path)).usageNs, null);
  });

  it('does not wait for ever for a process that stays', async () => {
    const path = absoluteCgroup('cgroupfs', '', 'stays');
    await mkdir(path);
    const sleeper = spawn('/bin/sleep', ['1000']);
    await writeFile(join(path, 'cgroup.procs'), String(sleeper.pid));
    await assert.rejects(removeCgroup(path), /remove cgroup .* \(processes left in it\?\)/);
    const ended = once(sleeper, 'exit');
    sleeper.kill('SIGKILL');
    await ended;
    await removeCgroup(path);
  });

  it('knows this machine', async () => {
    const listed = (await readFile('/sys/fs/cgroup/cgroup.controllers', 'utf8')).trim();
    assert.deepEqual([...(await controllers())].join(' '), listed);
    assert.equal(await detectDriver(), 'cgroupfs', 'scripts/private.sh has a /run without systemd');
  });
});
