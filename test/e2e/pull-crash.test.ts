import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { digestOf } from '../../src/image/digest.ts';
import type { ImageRow, LayerRow } from '../../src/image/types.ts';
import { manyFiles, writeImage } from '../bench/layout.ts';
import { TestDaemon } from '../harness/daemon.ts';
import { seededRandom } from '../harness/random.ts';
import { TestRegistry } from '../harness/registry.ts';
import { listTree } from '../integration/image/fixture.ts';

/** Fifty instants in all; more by the environment. */
const KILLS = Number(process.env.SKIFF_KILLS ?? 38);
const POWER_CUTS = Number(process.env.SKIFF_POWER_CUTS ?? 12);
const SEED = Number(process.env.SKIFF_SEED ?? Date.now() % 1_000_000);
/** Of the time that a pull took before: some instants lie behind its end. */
const BEYOND = 1.6;

/** Ends a file system as a power cut does: what is not on its device yet never gets there (ext4, FS_IOC_SHUTDOWN). */
const CUT_POWER = `#include <fcntl.h>
#include <sys/ioctl.h>
int main(int argc, char **argv) { unsigned how = 2; return argc != 2 || ioctl(open(argv[1], O_RDONLY), _IOR('X', 125, unsigned), &how) != 0; }`;

let directory: string;
let registry: TestRegistry;
let image: string;
/** The digest of each layer's unpacked tree, by diff id, after a pull that nobody disturbed. */
let expected: Map<string, string>;
let pullMs: number;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sk-crash-'));
  registry = await TestRegistry.start();
  const layout = await writeImage(join(directory, 'image'), manyFiles({ layers: 6, files: 60 }), {
    Cmd: ['/x'],
  });
  await registry.push(layout, 'many:1');
  image = `${registry.host}/many:1`;
  await using daemon = await TestDaemon.start();
  // The first pull of a daemon, as every round has it: its workers have to start.
  const begun = performance.now();
  await pull(daemon);
  pullMs = performance.now() - begun;
  expected = trees(daemon.root);
  assert.equal(expected.size, 6);
});
after(async () => {
  await registry.stop();
  await rm(directory, { recursive: true, force: true });
});

describe('a pull that is cut short by', () => {
  it(`SIGKILL, ${KILLS} times: the next daemon lists whole images only, and the pull succeeds`, async (t) => {
    t.diagnostic(`seed ${SEED} (SKIFF_SEED=${SEED} makes the same instants again)`);
    const random = seededRandom(SEED);
    await using daemon = await TestDaemon.start();
    let listed = 0;
    for (let round = 1; round <= KILLS; round++) {
      const instant = Math.floor(random() * pullMs * BEYOND);
      const pulled = outcome(pull(daemon));
      await sleep(instant);
      await daemon.kill();
      const answered = await pulled;
      await daemon.start();
      listed += await assertWhole(daemon, answered, `round ${round}, killed after ${instant} ms`);
    }
    t.diagnostic(`${listed} of ${KILLS} left the image behind; a pull takes ${Math.round(pullMs)} ms`);
  });

  it(`a power cut, ${POWER_CUTS} times: the same on the file system as it comes back`, async (t) => {
    t.diagnostic(`seed ${SEED}`);
    const random = seededRandom(SEED + 1);
    const cutPower = join(directory, 'cut-power');
    execFileSync('cc', ['-x', 'c', '-o', cutPower, '-'], { input: CUT_POWER });
    const device = join(directory, 'device');
    execFileSync('truncate', ['-s', '512M', device]);
    execFileSync('mkfs.ext4', ['-q', device]);
    await using daemon = await TestDaemon.prepare();
    mkdirSync(daemon.root);
    const mount = () => execFileSync('mount', ['-o', 'loop', device, daemon.root]);
    const unmount = () => execFileSync('umount', [daemon.root]);
    mount();
    let listed = 0;
    try {
      await daemon.start();
      for (let round = 1; round <= POWER_CUTS; round++) {
        const instant = Math.floor(random() * pullMs * BEYOND);
        const pulled = outcome(pull(daemon));
        await sleep(instant);
        execFileSync(cutPower, [daemon.root]);
        await daemon.kill();
        const answered = await pulled;
        unmount();
        mount();
        await daemon.start();
        listed += await assertWhole(daemon, answered, `round ${round}, power cut after ${instant} ms`);
      }
      t.diagnostic(`${listed} of ${POWER_CUTS} left the image behind`);
    } finally {
      await daemon.terminate();
      unmount();
    }
  });
});

async function pull(daemon: TestDaemon): Promise<void> {
  await daemon.cri.images.PullImage({ image: { image } });
}

/** Whether the daemon still answered that the image is there. */
function outcome(pulled: Promise<void>): Promise<boolean> {
  return pulled.then(
    () => true,
    () => false,
  );
}

/**
 * Nothing is listed but the whole image, which must be there once its pull was answered;
 * nothing else is on disk; the same pull succeeds. Whether it was listed, 0 or 1. Removes it.
 */
async function assertWhole(daemon: TestDaemon, answered: boolean, where: string): Promise<number> {
  const { images } = await daemon.cri.images.ListImages({});
  if (answered) assert.equal(images.length, 1, `${where}: the pull was answered, the image is gone`);
  if (images.length > 0) assert.deepEqual(trees(daemon.root), expected, where);
  else assert.deepEqual(readdirSync(join(daemon.root, 'layers')), [], where);
  assert.deepEqual(readdirSync(join(daemon.root, 'staging')), [], where);
  await pull(daemon);
  assert.deepEqual(trees(daemon.root), expected, `${where}, pulled again`);
  await daemon.cri.images.RemoveImage({ image: { image } });
  assert.deepEqual(readdirSync(join(daemon.root, 'layers')), [], `${where}, removed`);
  return images.length;
}

/** The digest of each layer's tree, by diff id, of all images in the database. */
function trees(root: string): Map<string, string> {
  const db = new DatabaseSync(join(root, 'skiff.db'), { readOnly: true });
  try {
    const rows = <T>(table: string) =>
      db
        .prepare(`SELECT json FROM ${table}`)
        .all()
        .map((row) => JSON.parse(String(row.json)) as T);
    const layers = new Map(rows<LayerRow>('layers').map((row) => [row.id, row]));
    const wanted = rows<ImageRow>('images').flatMap((row) => [...row.diffIds, row.thin ?? []].flat());
    return new Map(
      wanted.map((id) => {
        const layer = layers.get(id);
        assert.ok(layer !== undefined, `layer ${id} of a listed image has no row`);
        // Without its root, which these archives do not name: it has the time of the pull.
        const [, ...entries] = listTree(join(root, 'layers', layer.directory));
        return [id, digestOf(entries.join('\n'))];
      }),
    );
  } finally {
    db.close();
  }
}
