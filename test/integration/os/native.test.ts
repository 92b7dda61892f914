import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { AT, AT_FDCWD, MNT, MS, native, O_PATH, RESOLVE } from '../../../src/os/native.ts';
import { run } from '../../../src/os/process.ts';

const LAYERS = 127;

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sk-'));
});
afterEach(async () => {
  const left = (await readFile('/proc/self/mountinfo', 'utf8'))
    .split('\n')
    .filter((l) => l.includes(directory));
  for (const line of left) await native().umount(line.split(' ')[4] as string, MNT.DETACH);
  await native().removeTree(directory);
  assert.deepEqual(left, [], 'a mount was left');
});

describe('errors', () => {
  it('have the name of the errno, the call and the path', async () => {
    const wanted = {
      code: 'ENOENT',
      syscall: 'openat2',
      errno: -2,
      message: 'openat2 /no/such: No such file or directory',
    };
    assert.throws(() => native().openat2(AT_FDCWD, '/no/such', 0, 0, 0), wanted);
    const target = join(directory, 'nothing');
    await assert.rejects(native().mount('tmpfs', target, 'tmpfs', 0, null), {
      code: 'ENOENT',
      syscall: 'mount',
    });
    await assert.rejects(native().umount(directory, 0), {
      code: 'EINVAL',
      message: `umount ${directory}: Invalid argument`,
    });
    await assert.rejects(native().netnsInterfaces('/etc/passwd'), { code: 'EINVAL' });
    await assert.rejects(native().diskUsage(target), { code: 'ENOENT' });
  });

  it('a path with NUL or of a wrong type never reaches the kernel', () => {
    assert.throws(() => native().mkdirat(AT_FDCWD, `${directory}/a\0b`, 0o755), {
      code: 'ERR_INVALID_ARG_TYPE',
    });
    assert.throws(() => native().mkdirat(AT_FDCWD, Buffer.from(`${directory}/a\0b`), 0o755), TypeError);
    assert.throws(() => native().mkdirat(AT_FDCWD, 7 as unknown as string, 0o755), TypeError);
  });
});

describe('files', () => {
  it('openat2 keeps climbing paths and absolute links inside the root', async () => {
    await mkdir(join(directory, 'etc'));
    await writeFile(join(directory, 'etc/passwd'), 'inside');
    await symlink('/etc', join(directory, 'absolute'));
    await symlink('../../../../../etc', join(directory, 'climbing'));
    const root = native().openat2(AT_FDCWD, directory, O_PATH, 0, 0);
    for (const path of ['../../etc/passwd', 'absolute/passwd', 'climbing/passwd']) {
      const fd = native().openat2(root, path, 0, 0, RESOLVE.IN_ROOT);
      assert.equal(await readFile(`/proc/self/fd/${fd}`, 'utf8'), 'inside', path);
      native().close(fd);
    }
    native().close(root);
  });

  it('names that are not UTF-8, and attributes with any bytes', async () => {
    const name = Buffer.from([0x66, 0xff, 0xfe]);
    const here = native().openat2(AT_FDCWD, directory, O_PATH, 0, 0);
    native().mkdirat(here, name, 0o700);
    assert.deepEqual(await readdir(directory, { encoding: 'buffer' }), [name]);
    native().setxattrat(here, name, 'trusted.bytes', Buffer.from([0, 1, 255]));
    assert.deepEqual(native().getxattrat(here, name, 'trusted.bytes'), Buffer.from([0, 1, 255]));
    assert.deepEqual(native().listxattrat(here, name), ['trusted.bytes']);
    assert.equal(native().fstatat(here, name, AT.SYMLINK_NOFOLLOW).mode, 0o40700);
    native().close(here);
  });

  it('a lock is held once', () => {
    const file = join(directory, 'lock');
    const held = native().flock(file);
    assert.throws(() => native().flock(file), { code: 'EWOULDBLOCK', syscall: 'flock' });
    native().close(held);
    native().close(native().flock(file));
  });
});

describe('overlayMount', () => {
  for (const legacy of [false, true]) {
    it(`takes ${LAYERS} lowers ${legacy ? 'by mount(2)' : 'as this kernel takes them'}`, async () => {
      const lowers = Array.from({ length: LAYERS }, (_, i) =>
        join(directory, `layers/${String(i).padStart(12, '0')}`),
      );
      for (const [i, lower] of lowers.entries()) {
        await mkdir(lower, { recursive: true });
        await writeFile(join(lower, `file-${i}`), `${i}`);
      }
      const [upper, work, target] = ['upper', 'work', 'merged'].map((name) => join(directory, name));
      for (const path of [upper, work, target]) await mkdir(path as string);
      const mount = { lowers, upper: upper as string, work: work as string, target: target as string };
      await native().overlayMount({
        ...mount,
        options: ['metacopy=off', 'index=off', 'redirect_dir=off'],
        legacy,
      });
      assert.equal((await readdir(mount.target)).length, LAYERS);
      assert.equal(await readFile(join(mount.target, 'file-126'), 'utf8'), '126');
      await native().umount(mount.target, 0);
    });
  }
});

describe('pinNamespaces', () => {
  const pins = () => ({ net: join(directory, 'n'), ipc: join(directory, 'i'), uts: join(directory, 'u') });

  it('makes three with hostname and sysctls, lo up, in about a millisecond', async () => {
    const files = pins();
    const from = performance.now();
    await native().pinNamespaces({ ...files, hostname: 'pod-x', sysctls: [['net.ipv4.ip_forward', '0']] });
    console.log(`pinNamespaces: ${(performance.now() - from).toFixed(2)} ms`);
    const enter = ['--net', '--ipc', '--uts'].map((flag, i) => `${flag}=${Object.values(files)[i]}`);
    const inside = await run('nsenter', [
      ...enter,
      'sh',
      '-c',
      'hostname; cat /proc/sys/net/ipv4/ip_forward; ping -c1 -W1 127.0.0.1 >/dev/null 2>&1 || busybox ping -c1 127.0.0.1 >/dev/null; echo $?',
    ]);
    assert.equal(inside.stdout.toString(), 'pod-x\n0\n0\n');
    const [lo] = await native().netnsInterfaces(files.net);
    assert.equal(lo?.name, 'lo');
    assert.equal(lo?.up, true);
    assert.ok(BigInt(lo?.rxBytes ?? '0') >= 84n, 'one ping and its answer were counted');
    assert.notEqual((await run('hostname', [])).stdout.toString(), 'pod-x\n');
    for (const file of Object.values(files)) {
      await native().umount(file, 0);
      await rm(file);
    }
  });

  it('leaves nothing when a part of it fails', async () => {
    const sysctls: [string, string][] = [['net.ipv4.ip_forward', 'many']];
    const failed = native().pinNamespaces({ ...pins(), hostname: 'x', sysctls });
    await assert.rejects(failed, {
      code: 'EINVAL',
      message: 'pinNamespaces net.ipv4.ip_forward: Invalid argument',
    });
    await assert.rejects(
      native().pinNamespaces({ ...pins(), uts: '/no/dir/uts', hostname: 'x', sysctls: [] }),
    );
    await assert.rejects(
      native().pinNamespaces({ ...pins(), hostname: 'x', sysctls: [['kernel.panic', '1']] }),
      {
        code: 'EPERM',
      },
    );
    assert.deepEqual(await readdir(directory), []);
  });
});

describe('removeTree and diskUsage', () => {
  it('stop at a mount point and follow no link', async () => {
    const [outside, tree] = [join(directory, 'outside'), join(directory, 'tree')];
    await mkdir(outside);
    await writeFile(join(outside, 'precious'), 'x'.repeat(8192));
    await mkdir(join(tree, 'mounted'), { recursive: true });
    await writeFile(join(tree, 'small'), 'x');
    await symlink(outside, join(tree, 'link'));
    await native().mount(outside, join(tree, 'mounted'), null, MS.BIND, null);
    // The directory, `small` and `link`; the covered directory cannot be seen.
    assert.equal((await native().diskUsage(tree)).inodes, 3);
    await assert.rejects(native().removeTree(tree), { code: 'EBUSY' });
    assert.deepEqual(await readdir(tree), ['mounted']);
    assert.equal((await stat(join(outside, 'precious'))).size, 8192);
    await native().umount(join(tree, 'mounted'), 0);
    await native().removeTree(tree);
    await native().removeTree(tree);
    assert.deepEqual(await readdir(directory), ['outside']);
  });
});
