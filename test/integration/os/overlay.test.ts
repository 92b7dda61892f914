import assert from 'node:assert/strict';
import { chmod, chown, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { makeRootfs, unmountRootfs } from '../../../src/os/overlay.ts';

it('the root of a container has mode, owner and time of the top layer, and takes changes', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'sk-overlay-'));
  const at = (name: string) => join(directory, name);
  await mkdir(at('top'));
  await mkdir(at('base'));
  await writeFile(join(at('base'), 'file'), 'from the base');
  await chown(at('top'), 12, 34);
  await chmod(at('top'), 0o1775);
  const before = await stat(at('top'), { bigint: true });
  const rootfs = {
    lowers: [at('top'), at('base')],
    upper: at('upper'),
    work: at('work'),
    merged: at('merged'),
  };
  try {
    await makeRootfs(rootfs);
    const root = await stat(rootfs.merged, { bigint: true });
    assert.deepEqual(
      [root.mode & 0o7777n, root.uid, root.gid, root.mtimeNs],
      [0o1775n, 12n, 34n, before.mtimeNs],
    );
    await writeFile(join(rootfs.merged, 'file'), 'changed');
    assert.equal((await stat(join(at('base'), 'file'))).size, 'from the base'.length);
  } finally {
    await unmountRootfs(rootfs.merged);
    await rm(directory, { recursive: true });
  }
});
