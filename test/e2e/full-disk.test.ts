import { execFile } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { leavesNothing, refused } from '../harness/refusal.ts';
import { World } from '../harness/world.ts';

const run = promisify(execFile);
const NO_ROOM = /no space left|disk is full/i;

/** A daemon whose root is a small tmpfs. */
describe('a full disk', () => {
  let world: World;
  const daemon = () => world.daemon;

  before(async () => {
    world = await World.start();
    const { root } = world.daemon;
    await world.daemon.terminate();
    await rm(root, { recursive: true });
    await mkdir(root);
    await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', root]);
    await world.daemon.start();
  });
  after(async () => {
    await world.daemon.terminate();
    await run('umount', [world.daemon.root]);
    await world[Symbol.asyncDispose]();
  });

  it(
    'fails a pull as resource_exhausted and keeps no part of it',
    leavesNothing(daemon, async () => {
      await refused(world.pull(), 'resource_exhausted', NO_ROOM);
    }),
  );

  it('lets the same pull through once there is room', async () => {
    await run('mount', ['-o', 'remount,size=64m', world.daemon.root]);
    await world.pull();
    const { pod } = await world.runPod('roomy', ['/bin/sleep', '1000']);
    await world.removePod(pod);
  });

  it(
    'fails a pod, and keeps no part of it',
    leavesNothing(daemon, async () => {
      const ballast = join(world.daemon.root, 'ballast');
      // dd fails because it fills the disk.
      await run('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=4k']).catch(() => undefined);
      await refused(world.runPod('full', ['/bin/sleep', '1000']), 'resource_exhausted', NO_ROOM);
      await rm(ballast);
    }),
  );
});
