import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type PropagationOf, resolveMounts } from '../../../src/container/mount-sources.ts';
import { volumePaths } from '../../../src/container/volumes.ts';
import { mount } from './builders.ts';

describe('resolveMounts', () => {
  let dir: string;
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sk-mounts-'));
    await mkdir(join(dir, 'real'));
    await writeFile(join(dir, 'real/file'), '');
    await symlink('real', join(dir, 'link'));
  });
  after(() => rm(dir, { recursive: true }));

  const one = async (hostPath: string, reject: string[] = []) => {
    const [resolved] = await resolveMounts([mount({ hostPath })], { reject });
    return resolved?.hostPath;
  };

  it('follows links to the real path', async () => {
    assert.equal(await one(join(dir, 'link/file')), join(dir, 'real/file'));
  });

  it('makes an absent path as a directory, through a link too', async () => {
    assert.equal(await one(join(dir, 'link/new/deep')), join(dir, 'real/new/deep'));
    assert.equal((await stat(join(dir, 'real/new'))).mode & 0o777, 0o755);
  });

  it('refuses to make a listed path and makes nothing', async () => {
    const path = join(dir, 'device');
    await assert.rejects(one(`${path}/`, [path]), {
      code: 'failed_precondition',
      message: /absent_mount_sources_to_reject/,
    });
    assert.ok(!(await readdir(dir)).includes('device'));
    await mkdir(path);
    assert.equal(await one(path, [path]), path);
  });

  it('names the mount when a path cannot be made', async () => {
    await assert.rejects(one(join(dir, 'real/file/below')), {
      message: /^mount .*\/real\/file\/below at \/data: /,
    });
  });

  const cases: [
    asked: 'private' | 'host_to_container' | 'bidirectional',
    source: 'private' | 'slave' | 'shared',
    fits: boolean,
  ][] = [
    ['private', 'private', true],
    ['private', 'shared', true],
    ['host_to_container', 'private', false],
    ['host_to_container', 'slave', true],
    ['host_to_container', 'shared', true],
    ['bidirectional', 'private', false],
    ['bidirectional', 'slave', false],
    ['bidirectional', 'shared', true],
  ];
  for (const [propagation, source, fits] of cases)
    it(`${fits ? 'takes' : 'refuses'} ${propagation} from a ${source} mount`, async () => {
      const asked: string[] = [];
      const propagationOf: PropagationOf = async (path) => {
        asked.push(path);
        return source;
      };
      const mounts = [mount({ hostPath: join(dir, 'link'), propagation })];
      const result = resolveMounts(mounts, { reject: [], propagationOf });
      if (fits) await result;
      else await assert.rejects(result, { code: 'failed_precondition', message: new RegExp(propagation) });
      assert.deepEqual(asked, propagation === 'private' ? [] : [join(dir, 'real')]);
    });
});

describe('volumePaths', () => {
  it('leaves out what a mount shadows, what repeats and the root', () => {
    const mounts = [mount({ containerPath: '/data/' })];
    assert.deepEqual(volumePaths(['/data', 'cache', '/cache/', '/', '/data/sub'], mounts), [
      '/cache',
      '/data/sub',
    ]);
  });
});
