import assert from 'node:assert/strict';
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../../../src/os/process.ts';
import { isRunning, readLog, ShimBox, until } from './shim-box.ts';

let box: ShimBox;
before(async () => {
  box = await ShimBox.make();
});
after(() => box.remove());

const lines = async (path: string) =>
  (await readLog(path)).map(({ stream, tag, text }) => [stream, tag, text]);

test('lines of both streams, empty ones, carriage returns and a partial one at the end', async () => {
  const plan = await box.plan(
    'echo one; sleep 0.1; echo two >&2; sleep 0.1; printf "\\n3\\r\\n"; sleep 0.1; printf end',
  );
  const before = Date.now();
  const shim = await box.start(plan);
  assert.equal((await shim.exited)?.exitCode, 0);
  assert.deepEqual(await lines(plan.logPath), [
    ['stdout', 'F', 'one'],
    ['stderr', 'F', 'two'],
    ['stdout', 'F', ''],
    ['stdout', 'F', '3'],
    ['stdout', 'P', 'end'],
  ]);
  const times = (await readLog(plan.logPath)).map(({ time }) => time);
  assert.deepEqual(times, times.toSorted());
  assert.ok(Date.parse(times[0] as string) >= before && Date.parse(times[4] as string) <= Date.now());
  const { mode } = await stat(plan.logPath);
  assert.equal(mode & 0o777, 0o640);
  assert.equal((await stat(`${plan.bundle}/logs`)).mode & 0o777, 0o755);
});

test('a line longer than 16 KiB is split there, one of 16 KiB is not', async () => {
  const plan = await box.plan('x() { yes x | tr -d "\\n" | head -c "$1"; echo; }; x 40000; x 16384; x 16385');
  const shim = await box.start(plan);
  await shim.exited;
  assert.deepEqual(
    (await readLog(plan.logPath)).map(({ tag, text }) => [
      tag,
      text.length,
      text === 'x'.repeat(text.length),
    ]),
    [
      ['P', 16384, true],
      ['P', 16384, true],
      ['F', 7232, true],
      ['F', 16384, true],
      ['P', 16384, true],
      ['F', 1, true],
    ],
  );
});

test('with the limit off a long line stays whole', async () => {
  const plan = await box.plan('yes x | tr -d "\\n" | head -c 300000; echo', { maxLine: 0 });
  await (await box.start(plan)).exited;
  assert.deepEqual(await lines(plan.logPath), [['stdout', 'F', 'x'.repeat(300000)]]);
});

test('rotation under a writer of numbered lines loses and tears none', async () => {
  const plan = await box.plan('seq 1 400000');
  const shim = await box.start(plan);
  const old: string[] = [];
  while (await isRunning(shim.containerPid)) {
    const name = `${plan.logPath}.${old.length}`;
    await rename(plan.logPath, name);
    old.push(name);
    const reopened = await shim.reopenLog().then(
      () => true,
      () => false,
    );
    if (!reopened) break;
    await stat(plan.logPath);
    await sleep(2);
  }
  assert.equal((await shim.exited)?.exitCode, 0);
  const numbers: number[] = [];
  for (const path of [...old, plan.logPath])
    if ((await stat(path).catch(() => undefined)) !== undefined)
      for (const line of await readLog(path)) {
        assert.equal(line.tag, 'F');
        numbers.push(Number(line.text));
      }
  assert.equal(numbers.length, 400000);
  assert.ok(numbers.every((number, at) => number === at + 1));
  assert.ok(old.length > 2, 'the log was rotated while it was written');
  console.log(`# ${old.length} rotations during 400000 lines`);
});

test('a reopen that fails keeps the old file', async () => {
  const plan = await box.plan('sleep 0.4; echo late; sleep 0.2');
  const shim = await box.start(plan);
  await rename(`${plan.bundle}/logs`, `${plan.bundle}/moved`);
  await writeFile(`${plan.bundle}/logs`, 'a file where the directory was');
  await assert.rejects(shim.reopenLog(), { name: 'SkiffError', message: /ENOTDIR/ });
  await shim.exited;
  assert.deepEqual(await lines(`${plan.bundle}/moved/0.log`), [['stdout', 'F', 'late']]);
});

test('a full disk holds nothing up, and lines are whole again when there is room', async () => {
  const disk = `${box.directory}/disk`;
  await mkdir(disk);
  assert.equal((await run('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk])).code, 0);
  try {
    await writeFile(`${disk}/filler`, Buffer.alloc(32768));
    const plan = await box.plan('seq 1 100000; echo full >/tmp/full; read go; seq 1 100', {
      stdin: true,
      logPath: `${disk}/0.log`,
    });
    const shim = await box.start(plan);
    const full = () => stat(`${box.directory}/rootfs/tmp/full`).catch(() => undefined);
    await until(async () => (await full()) !== undefined, 'the writer is through');
    await until(async () => (await shim.lostLogBytes()) > 0, 'lost bytes');
    await rm(`${disk}/filler`);
    const { stdin } = await shim.attach({ stdin: true, stdout: false, stderr: false });
    stdin?.write('go\n');
    assert.equal((await shim.exited)?.exitCode, 0);
    const numbers = (await readLog(plan.logPath)).map((line) => Number(line.text));
    assert.ok(numbers.length < 100000);
    assert.deepEqual(
      numbers.slice(-100),
      Array.from({ length: 100 }, (_, at) => at + 1),
    );
    assert.ok(numbers.slice(0, 100).every((number, at) => number === at + 1));
  } finally {
    await run('umount', ['-l', disk]);
  }
});

test('an empty log path discards, a directory that cannot be made is the error', async () => {
  const plan = await box.plan('echo gone', { logPath: '' });
  assert.equal((await (await box.start(plan)).exited)?.exitCode, 0);
  const bad = await box.plan('true', { logPath: '/proc/none/0.log' });
  await assert.rejects(box.start(bad), { message: '/proc/none/0.log: No such file or directory' });
});

test('figures: memory of an idle shim, log throughput', async () => {
  const idle = await box.plan('echo up; sleep 100');
  const shim = await box.start(idle);
  await sleep(1000);
  const rollup = await readFile(`/proc/${shim.shimPid}/smaps_rollup`, 'utf8');
  const kib = (name: string) => Number(new RegExp(`^${name}: +(\\d+) kB`, 'm').exec(rollup)?.[1]);
  console.log(`# idle shim: PSS ${kib('Pss')} KiB, of its own ${kib('Pss_Anon')} KiB`);
  assert.ok(kib('Pss') < 512);
  assert.ok(kib('Pss_Anon') < 128);
  const text = 'x'.repeat(99);
  const plan = await box.plan(`yes ${text} | head -c 200000000`);
  const start = performance.now();
  const busy = await box.start(plan);
  await busy.exited;
  const seconds = (performance.now() - start) / 1000;
  await until(async () => !(await isRunning(busy.shimPid)), 'end of the shim');
  assert.equal((await stat(plan.logPath)).size, 2000000 * (100 + 40));
  console.log(`# 200 MB in 2000000 lines: ${(200 / seconds).toFixed(0)} MB/s of text`);
});
