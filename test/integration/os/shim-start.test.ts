import assert from 'node:assert/strict';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { artefact } from '../../../src/os/paths.ts';
import { run, startTime } from '../../../src/os/process.ts';
import { findPodInit, type ShimStart, startPodInit, startShim } from '../../../src/os/shim.ts';
import { isRunning, readLog, ShimBox, until } from './shim-box.ts';

let box: ShimBox;
before(async () => {
  box = await ShimBox.make();
});
after(() => box.remove());

/** Pids of all processes whose command line names `id`. */
async function processesOf(id: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')),
  );
  return pids.filter((_, at) => lines[at]?.includes(id)).map(Number);
}

async function assertNothingLeft(plan: ShimStart): Promise<void> {
  assert.deepEqual(await readdir(plan.stateDir), []);
  assert.deepEqual(await processesOf(plan.id), []);
}

for (const runtime of ['runc', 'crun'])
  test(`${runtime}: a missing command is the runtime's own sentence, and nothing is left`, async () => {
    for (const tty of [false, true]) {
      const plan = await box.plan(['no-such-command'], { runtime, tty });
      await assert.rejects(startShim(plan), { code: 'unknown', message: /executable file.*not found/i });
      await assertNothingLeft(plan);
      const list = await run(runtime, [...plan.runtimeArgs, 'list', '-q']);
      assert.ok(!list.stdout.includes(plan.id));
    }
  });

test('crun runs a container with a terminal as runc does', async () => {
  const plan = await box.plan('stty size; exit 4', { runtime: 'crun', tty: true });
  const shim = await box.start(plan);
  assert.equal((await shim.exited)?.exitCode, 4);
  assert.equal((await readLog(plan.logPath)).length, 1);
  await run('crun', [...plan.runtimeArgs, 'delete', plan.id]);
});

test('errors of a runtime: log, stderr, silence, signal, missing, a pid that is not its child', async () => {
  const cases: [string, string][] = [
    [
      'echo \'{"level":"error","msg":"from \\"the\\" log"}\' >"$LOG"; echo noise >&2; exit 1',
      'from "the" log',
    ],
    ['echo "from stderr" >&2; exit 1', 'from stderr'],
    ['exit 6', 'the runtime ended without a word, exit code 6'],
    ['kill -9 $$', 'the runtime ended without a word, exit code 137'],
    ['echo 1 >"$PIDFILE"', "find the container's init: No child processes"],
    ['exit 0', "find the container's init: No such file or directory"],
  ];
  for (const [script, message] of cases) {
    const runtime = await box.fakeRuntime(script);
    const plan = await box.plan('', { runtime, runtimeArgs: [] });
    await assert.rejects(startShim(plan), { message });
    assert.equal(await readFile(`${runtime}.calls`, 'utf8'), 'run\ndelete\n');
    await assertNothingLeft(plan);
  }
  const missing = await box.plan('', { runtime: '/no/such/runtime' });
  await assert.rejects(startShim(missing), { message: '/no/such/runtime: No such file or directory' });
  await assertNothingLeft(missing);
});

test('a runtime that fails half-way leaves no process', async () => {
  const runtime = await box.fakeRuntime('sh -c "exec sleep 1000" half & echo $! >"$PIDFILE"; exit 1');
  const plan = await box.plan('', { runtime, runtimeArgs: [] });
  const before = await processesOf('sleep\x001000');
  await assert.rejects(startShim(plan));
  assert.deepEqual(await processesOf('sleep\x001000'), before);
  await assertNothingLeft(plan);
});

test('a start that is cancelled ends the runtime and leaves nothing', async () => {
  const runtime = await box.fakeRuntime('exec sleep 1000');
  const plan = await box.plan('', { runtime, runtimeArgs: [] });
  const abort = new AbortController();
  const started = startShim(plan, { signal: abort.signal });
  setTimeout(() => abort.abort(), 200);
  await assert.rejects(started, { name: 'SkiffError', code: 'canceled' });
  await assertNothingLeft(plan);
});

test('a second shim in one state directory is refused, and the first goes on', async () => {
  const plan = await box.plan('sleep 100');
  const shim = await box.start(plan);
  await assert.rejects(startShim(plan), { message: 'listen on shim.sock: Address already in use' });
  assert.ok(await isRunning(shim.containerPid));
  await shim.reopenLog();
});

test('what a container inherits: three descriptors, no ignored or blocked signal', async () => {
  const status = await box.plan(['cat', '/proc/self/status'], { stdin: true });
  await (await box.start(status)).exited;
  const lines = (await readLog(status.logPath)).map((line) => line.text);
  for (const field of ['SigBlk', 'SigIgn', 'SigPnd'])
    assert.equal(
      lines.find((line) => line.startsWith(field)),
      `${field}:\t0000000000000000`,
    );
  const list = await box.plan(['ls', '/proc/self/fd'], { stdin: true });
  await (await box.start(list)).exited;
  // The fourth is that of ls for the directory itself.
  assert.deepEqual((await readLog(list.logPath)).map((line) => line.text).toSorted(), ['0', '1', '2', '3']);
});

test("the pod's init: no rights, no files, and it reaps", async () => {
  const netns = '/run/netns/shim-test';
  await run('ip', ['netns', 'add', 'shim-test']);
  // /run is private to this run.
  const pidFile = '/run/shim-test.pid';
  const init = await startPodInit({ net: netns, ipc: null, uts: null, pidFile });
  assert.equal(init.startTime, await startTime(init.pid));
  assert.deepEqual(await findPodInit(pidFile), init);
  const status = await readFile(`/proc/${init.pid}/status`, 'utf8');
  const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1];
  assert.equal(field('Name'), 'skiff-init');
  assert.equal(field('Uid'), '65535\t65535\t65535\t65535');
  assert.equal(field('Gid'), '65535\t65535\t65535\t65535');
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
    assert.match(field(set) ?? '', /^0+$/);
  assert.equal(field('NoNewPrivs'), '1');
  assert.equal(field('NSpid')?.split('\t').at(-1), '1');
  assert.deepEqual(await readdir(`/proc/${init.pid}/root`), []);
  assert.deepEqual(await readdir(`/proc/${init.pid}/fd`), []);
  assert.equal(await readFile(`/proc/${init.pid}/cmdline`, 'latin1'), 'skiff-init\0');
  const enter = (type: string, script: string) =>
    run('nsenter', [`--target=${init.pid}`, `--${type}`, 'sh', '-c', script]);
  const exe = await run('sh', ['-c', `: >>/proc/${init.pid}/exe`]);
  assert.match(exe.stderr.toString(), /Read-only|busy/);
  const net = await run('ip', ['netns', 'exec', 'shim-test', 'readlink', '/proc/self/ns/net']);
  assert.equal(net.stdout.toString().trim(), await readlink(`/proc/${init.pid}/ns/net`));

  // An orphan inside becomes a child of pid 1 and is reaped; TERM from inside does nothing.
  await enter('pid', '(sleep 0.1 &) ; kill -TERM 1; exit 0');
  const children = () => readFile(`/proc/${init.pid}/task/${init.pid}/children`, 'utf8');
  await until(async () => (await children()) === '', 'the orphan is reaped');
  assert.ok(await isRunning(init.pid));
  process.kill(init.pid, 'SIGTERM');
  await until(async () => !(await isRunning(init.pid)), 'the end of init');
  assert.equal(await findPodInit(pidFile), undefined);
  await run('ip', ['netns', 'delete', 'shim-test']);
});

test("the pod's init: what fails is named and leaves no process", async () => {
  const own = { net: null, ipc: null, uts: null, pidFile: '/run/shim-test-bad.pid' };
  await assert.rejects(startPodInit({ ...own, net: '/no/net' }), {
    message: "start the pod's init: enter the network namespace: No such file or directory",
  });
  await assert.rejects(startPodInit({ ...own, cgroup: '/no/cgroup' }), {
    message: "start the pod's init: join the cgroup: No such file or directory",
  });
});

test('the command line explains itself', async () => {
  const help = await run(artefact('skiff-shim'), ['-h']);
  assert.equal(help.code, 0);
  assert.match(help.stdout.toString(), /^usage: skiff-shim run/);
  const wrong = await run(artefact('skiff-shim'), ['run', '--nope']);
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr.toString(), /option is not known/);
});
