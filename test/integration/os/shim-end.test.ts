import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { native } from '../../../src/os/native.ts';
import { connectShim, readExitRecord } from '../../../src/os/shim.ts';
import { isRunning, readLog, ShimBox, until } from './shim-box.ts';

let box: ShimBox;
before(async () => {
  box = await ShimBox.make();
});
after(() => box.remove());

const cgroupOf = async (pid: number | string) =>
  /^0::(.*)$/m.exec(await readFile(`/proc/${pid}/cgroup`, 'utf8'))?.[1];

test('exit codes, and the record is on the disk before the end is told', async () => {
  for (const code of [0, 1, 42, 255]) {
    const plan = await box.plan(`sleep 0.1; exit ${code}`);
    const shim = await box.start(plan);
    const before = BigInt(Date.now()) * 1_000_000n;
    const told = await shim.exited;
    const record = JSON.parse(readFileSync(plan.exitFile, 'utf8'));
    assert.equal(record.exitCode, code);
    assert.deepEqual(told, record);
    assert.deepEqual(await readExitRecord(plan.exitFile), record);
    assert.equal(record.oomKilled, false);
    const finished = BigInt(record.finishedAt);
    assert.ok(finished > before && finished <= BigInt(Date.now() + 1) * 1_000_000n);
    await until(async () => !(await isRunning(shim.shimPid)), 'end of the shim');
    assert.equal(existsSync(`${plan.stateDir}/shim.sock`), false);
    await shim.kill(15, false);
    await assert.rejects(shim.reopenLog(), { code: 'unavailable' });
  }
});

test('a container that ends at once is started and ended all the same', async () => {
  for (let round = 0; round < 10; round++) {
    const shim = await box.start(await box.plan('exit 7'));
    assert.equal((await shim.exited)?.exitCode, 7);
  }
});

test('signals: the number comes through, the code is 128 + n', async () => {
  const trap = await box.plan('trap "echo term; exit 5" TERM; echo up; while :; do sleep 0.05; done');
  const shim = await box.start(trap);
  await until(async () => (await readLog(trap.logPath)).length === 1, 'the first line');
  await shim.kill(15, false);
  assert.equal((await shim.exited)?.exitCode, 5);
  const killed = await box.start(await box.plan('sleep 100'));
  await killed.kill(9, false);
  assert.equal((await killed.exited)?.exitCode, 137);
  const odd = await box.start(await box.plan('sleep 100'));
  await assert.rejects(odd.kill(15, true), { code: 'invalid_argument' });
  await assert.rejects(odd.kill(200, false), { code: 'invalid_argument' });
});

/** A container in the host's PID namespace whose second process is in a session of its own. */
async function withStraggler(ending: string) {
  const plan = await box.plan(`setsid sleep 1000 & echo $!; ${ending}`, { hostPid: true });
  const shim = await box.start(plan);
  await until(async () => (await readLog(plan.logPath)).length === 1, 'the first line');
  const straggler = Number((await readLog(plan.logPath))[0]?.text);
  return { shim, straggler };
}

test("in the host's PID namespace the end of init ends what it left behind", async () => {
  const { shim, straggler } = await withStraggler('sleep 0.3; exit 3');
  const start = performance.now();
  assert.ok(await isRunning(straggler));
  assert.equal((await shim.exited)?.exitCode, 3);
  assert.equal(await isRunning(straggler), false);
  assert.ok(performance.now() - start < 1500, 'a pipe that a straggler held delays nothing');
});

test('kill all ends every process of the cgroup', async () => {
  const { shim, straggler } = await withStraggler('exec sleep 1000');
  assert.notEqual(await cgroupOf(shim.containerPid), await cgroupOf(shim.shimPid));
  await shim.kill(9, true);
  assert.equal((await shim.exited)?.exitCode, 137);
  assert.equal(await isRunning(straggler), false);
});

test('a container in the cgroup of the shim is killed process by process, and the shim is not', async () => {
  const runtime = await box.fakeRuntime(
    'sh -c "setsid sleep 1000 & exec sleep 1000" >/dev/null 2>&1 & echo $! >"$PIDFILE"',
  );
  const plan = await box.plan('', { runtime, runtimeArgs: [] });
  const shim = await box.start(plan);
  assert.equal(await cgroupOf(shim.containerPid), await cgroupOf('self'));
  const children = async () =>
    (await readFile(`/proc/${shim.containerPid}/task/${shim.containerPid}/children`, 'utf8')).trim();
  await until(async () => (await children()) !== '', 'the second process');
  const second = Number(await children());
  await shim.kill(9, true);
  assert.equal((await shim.exited)?.exitCode, 137);
  assert.equal(await isRunning(second), false);
});

test('the daemon is killed: lines are written on, the next one finds the container', async () => {
  const plan = await box.plan('i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done', { stdin: true });
  const program = `
    const { startShim } = await import(${JSON.stringify(new URL('../../../src/os/shim.ts', import.meta.url).href)});
    const shim = await startShim(${JSON.stringify(plan)});
    console.log('started');
    await shim.exited;`;
  const daemon = native().spawn({
    file: process.execPath,
    argv: ['node', '--input-type=module', '--eval', program],
    env: [`PATH=${process.env.PATH}`],
    cwd: '/',
    stdio: ['null', 'null', 'null'],
    setsid: true,
    netns: null,
    dieWithParent: false,
  });
  const count = async () => (await readLog(plan.logPath).catch(() => [])).length;
  await until(async () => (await count()) > 3, 'lines');
  process.kill(daemon.pid, 'SIGKILL');
  await native().waitPid(daemon.pidfd);
  native().close(daemon.pidfd);
  const then = await count();
  await until(async () => (await count()) > then + 10, 'lines without a daemon');

  const shim = await connectShim(plan.stateDir);
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1'] as const)
    process.kill(shim.shimPid, signal);
  await shim.reopenLog();
  shim.disconnect();
  const again = await connectShim(plan.stateDir);
  assert.equal(again.containerPid, shim.containerPid);
  assert.equal(await shim.exited, null);
  await again.kill(9, true);
  assert.equal((await again.exited)?.exitCode, 137);
  const numbers = (await readLog(plan.logPath)).map((line) => Number(line.text));
  assert.ok(numbers.every((number, at) => number === at));
  await assert.rejects(connectShim(plan.stateDir), { code: 'unavailable' });
});
