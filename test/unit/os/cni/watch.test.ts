import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLog } from '../../../../src/base/log.ts';
import { DirectoryWatch } from '../../../../src/os/cni/watch.ts';

describe('DirectoryWatch', () => {
  let base: string;
  let directory: string;
  let told = 0;
  let watch: DirectoryWatch;

  beforeEach(async () => {
    base = await mkdtemp(join(tmpdir(), 'skiff-watch-'));
    directory = join(base, 'cni', 'net.d');
    told = 0;
  });
  afterEach(async () => {
    watch.stop();
    await rm(base, { recursive: true, force: true });
  });

  async function start(pollMs = 60_000): Promise<void> {
    watch = new DirectoryWatch(
      { directory, debounceMs: 20, pollMs },
      {
        changed: () => {
          told += 1;
        },
        log: silentLog(),
      },
    );
    await watch.start();
  }

  /** Does `change` and waits until it is told, by inotify alone unless the poll is short. */
  async function expectTold(what: string, change: () => Promise<unknown>): Promise<void> {
    // Watches move to a new directory after the debounce: what was told before must be over.
    await sleep(80);
    const before = told;
    await change();
    for (let i = 0; i < 100 && told === before; i += 1) await sleep(20);
    assert.notEqual(told, before, what);
  }

  it('tells of files that are made, changed, renamed and removed', async () => {
    await mkdir(directory, { recursive: true });
    await start();
    await expectTold('made', () => writeFile(join(directory, 'a'), '1'));
    await expectTold('changed', () => writeFile(join(directory, 'a'), '2'));
    await expectTold('renamed', () => rename(join(directory, 'a'), join(directory, 'b')));
    await expectTold('removed', () => rm(join(directory, 'b')));
  });

  it('follows a directory that is not there yet, goes and comes back', async () => {
    await start();
    await expectTold('parent made', () => mkdir(join(base, 'cni')));
    await expectTold('directory made', () => mkdir(directory));
    await expectTold('file made', () => writeFile(join(directory, 'a'), '1'));
    await expectTold('all removed', () => rm(join(base, 'cni'), { recursive: true }));
    await expectTold('all made again', () => mkdir(directory, { recursive: true }));
    await expectTold('file made again', () => writeFile(join(directory, 'a'), '1'));
    await expectTold('directory replaced', async () => {
      await rename(directory, `${directory}.old`);
      await mkdir(directory);
    });
    await expectTold('file in the new one', () => writeFile(join(directory, 'b'), '1'));
  });

  it('tells once of a burst', async () => {
    await mkdir(directory, { recursive: true });
    await start();
    for (let i = 0; i < 20; i += 1) await writeFile(join(directory, `f${i}`), 'x');
    await sleep(200);
    assert.ok(told >= 1 && told <= 3, `told ${told} times`);
  });

  it('finds by polling what inotify does not see', async () => {
    // A subdirectory is not watched, so this change reaches it by the poll only.
    await mkdir(join(directory, 'net'), { recursive: true });
    await writeFile(join(directory, 'net', '10.conf'), '{}');
    await start(50);
    await expectTold('changed below', () => utimes(join(directory, 'net', '10.conf'), 1, 1));
  });

  it('says nothing after stop, nor of neighbours', async () => {
    await start();
    await mkdir(join(base, 'other'));
    await sleep(100);
    assert.equal(told, 0);
    watch.stop();
    await mkdir(directory, { recursive: true });
    await sleep(100);
    assert.equal(told, 0);
  });
});
