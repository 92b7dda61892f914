import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import {
  chmod,
  chown,
  link,
  lstat,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  readlink,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { readInRoot, resolveInRoot } from '../../../src/container/rootfs-path.ts';
import { resolveUser } from '../../../src/container/user.ts';
import { prepareVolumes } from '../../../src/container/volumes.ts';
import { native } from '../../../src/os/native.ts';
import { mount, security } from '../../unit/container/builders.ts';

const run = promisify(execFile);

async function inDirectory<T>(path: string, work: (fd: number) => T): Promise<T> {
  const handle = await open(path);
  try {
    return work(handle.fd);
  } finally {
    await handle.close();
  }
}

let dir: string;
let rootfs: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sk-rootfs-'));
  rootfs = join(dir, 'rootfs');
  await mkdir(join(rootfs, 'etc'), { recursive: true });
});
afterEach(() => rm(dir, { recursive: true, force: true }));

describe('paths inside an image', () => {
  it('follow links as the container would see them, never out of the image', async () => {
    await mkdir(join(rootfs, 'run/real'), { recursive: true });
    await symlink('/run', join(rootfs, 'absolute'));
    await symlink('../../../../run/real', join(rootfs, 'climbing'));
    await symlink('/proc/self/root', join(rootfs, 'magic'));
    await symlink('/loop', join(rootfs, 'loop'));
    assert.equal(await resolveInRoot(rootfs, '/absolute/real'), join(rootfs, 'run/real'));
    assert.equal(await resolveInRoot(rootfs, '/climbing'), join(rootfs, 'run/real'));
    assert.equal(await resolveInRoot(rootfs, '/../../run'), join(rootfs, 'run'));
    for (const path of ['/magic', '/loop', '/none', '/etc/none/x'])
      assert.equal(await resolveInRoot(rootfs, path), undefined, path);
  });

  it('read regular files only, and only so much', async () => {
    await writeFile(join(rootfs, 'etc/passwd'), 'text');
    assert.equal(await readInRoot(rootfs, '/etc/passwd', 4), 'text');
    await assert.rejects(readInRoot(rootfs, '/etc/passwd', 3), /larger than 3 bytes/);
    await run('mkfifo', [join(rootfs, 'pipe')]);
    await run('mknod', [join(rootfs, 'zero'), 'c', '1', '5']);
    for (const path of ['/pipe', '/zero', '/etc'])
      await assert.rejects(readInRoot(rootfs, path, 9), /no regular file/);
  });

  it('give users of the image and never of the host', async () => {
    await writeFile(join(dir, 'passwd'), 'intruder:x:0:0::/:\n');
    await symlink('../../passwd', join(rootfs, 'etc/passwd'));
    await assert.rejects(resolveUser(rootfs, 'intruder', security()), /no user "intruder"/);
    await writeFile(join(rootfs, 'passwd'), 'inner:x:7:8::/:\n');
    assert.deepEqual(await resolveUser(rootfs, 'inner', security()), {
      uid: 7,
      gid: 8,
      supplementalGroups: [8],
    });
  });
});

describe('image volumes', () => {
  const prepare = (volumes: string[], mounts = [mount({ containerPath: '/shadowed' })]) =>
    prepareVolumes({ image: { volumes }, mounts, rootfs, directory: join(dir, 'volumes') });

  it('hold what the image has there: owners, modes, times, links, hard links, xattrs and devices', async () => {
    const data = join(rootfs, 'srv/data');
    await mkdir(join(data, 'sub'), { recursive: true });
    await writeFile(join(data, 'sub/file'), 'content');
    await link(join(data, 'sub/file'), join(data, 'hard'));
    await symlink('/etc/passwd', join(data, 'link'));
    await run('mknod', [join(data, 'null'), 'c', '1', '3']);
    await inDirectory(data, (fd) => native().setxattrat(fd, 'hard', 'user.colour', 'blue'));
    await chown(join(data, 'sub/file'), 11, 12);
    await chmod(join(data, 'sub/file'), 0o4750);
    await utimes(join(data, 'sub/file'), 100, 200);
    await chown(data, 999, 998);
    await chmod(data, 0o2770);
    await symlink('srv/data', join(rootfs, 'link-to-data'));

    const [volume] = await prepare(['/link-to-data']);
    assert.ok(volume);
    assert.deepEqual(
      { path: volume.containerPath, readonly: volume.readonly },
      { path: '/link-to-data', readonly: false },
    );
    const facts = async (path: string) => {
      const { uid, gid, mode, mtimeMs, nlink } = await lstat(join(volume.hostPath, path));
      return { uid, gid, mode: mode & 0o7777, mtimeMs, nlink };
    };
    assert.deepEqual(
      { ...(await facts('')), mtimeMs: 0, nlink: 0 },
      { uid: 999, gid: 998, mode: 0o2770, mtimeMs: 0, nlink: 0 },
    );
    assert.deepEqual(await facts('sub/file'), { uid: 11, gid: 12, mode: 0o4750, mtimeMs: 200_000, nlink: 2 });
    assert.equal(await readFile(join(volume.hostPath, 'hard'), 'utf8'), 'content');
    assert.equal(await readlink(join(volume.hostPath, 'link')), '/etc/passwd');
    assert.ok((await lstat(join(volume.hostPath, 'null'))).isCharacterDevice());
    const colour = await inDirectory(volume.hostPath, (fd) => native().getxattrat(fd, 'hard', 'user.colour'));
    assert.equal(colour.toString(), 'blue');
  });

  it('are empty directories where the image has nothing, and none where a mount was asked for', async () => {
    const volumes = await prepare(['/empty', '/shadowed/']);
    assert.deepEqual(
      volumes.map(({ containerPath }) => containerPath),
      ['/empty'],
    );
    assert.deepEqual(await readdir(volumes[0]?.hostPath ?? ''), []);
    assert.equal((await lstat(volumes[0]?.hostPath ?? '')).mode & 0o7777, 0o755);
  });

  it('never copy from the host', async () => {
    await mkdir(join(dir, 'host-secret'));
    await writeFile(join(dir, 'host-secret/key'), 'secret');
    await symlink('../host-secret', join(rootfs, 'data'));
    const [volume] = await prepare(['/data']);
    assert.deepEqual(await readdir(volume?.hostPath ?? ''), []);
  });

  it('are refused where the image has a file', async () => {
    await writeFile(join(rootfs, 'data'), '');
    await assert.rejects(prepare(['/data']), {
      message: /^prepare image volume \/data: .*something else than a directory/,
    });
  });
});
