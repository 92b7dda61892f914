import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { native } from '../../../src/os/native.ts';
import { describeProcess, isAlive, killProcess, run, startTime } from '../../../src/os/process.ts';
import { processesRunning } from './processes.ts';

const MIB = 1024 * 1024;

describe('run', () => {
  it('gives both streams and the code, or the signal', async () => {
    const result = await run('sh', ['-c', 'echo out; echo err >&2; exit 3']);
    assert.deepEqual([`${result.stdout}`, `${result.stderr}`], ['out\n', 'err\n']);
    assert.deepEqual([result.code, result.signal, result.timedOut], [3, null, false]);
    const killed = await run('sh', ['-c', 'kill -15 $$']);
    assert.deepEqual([killed.code, killed.signal], [null, 15]);
  });

  it('passes stdin, environment and directory', async () => {
    const text = 'x'.repeat(MIB);
    assert.equal((await run('cat', [], { stdin: text })).stdout.toString(), text);
    const { stdout } = await run('sh', ['-c', 'echo $A; pwd'], { env: { A: 'b c' }, cwd: '/usr' });
    assert.equal(stdout.toString(), 'b c\n/usr\n');
  });

  it('does not mind a program that reads nothing of its input', async () => {
    assert.equal((await run('true', [], { stdin: Buffer.alloc(4 * MIB) })).code, 0);
  });

  it('rejects with the errno where the program cannot be started', async () => {
    await assert.rejects(run('/no/such', []), { code: 'ENOENT' });
  });

  it('ends everything at the deadline', async () => {
    const result = await run('sh', ['-c', 'sleep 5001 & (sleep 5001; true) & sleep 5001'], {
      timeoutMs: 300,
    });
    assert.deepEqual([result.timedOut, result.signal], [true, 9]);
    assert.deepEqual(await processesRunning('sleep', '5001'), []);
  });

  it('ends everything and rejects when the signal aborts', async () => {
    const abort = new AbortController();
    const running = run('sh', ['-c', 'sleep 5002 & sleep 5002'], { signal: abort.signal });
    setTimeout(() => abort.abort(new Error('gone away')), 200);
    await assert.rejects(running, /gone away/);
    assert.deepEqual(await processesRunning('sleep', '5002'), []);
    await assert.rejects(run('true', [], { signal: abort.signal }), /gone away/);
  });

  it('does not wait for a background process that holds the pipes', async () => {
    const from = performance.now();
    const result = await run('sh', ['-c', 'sleep 5003 & echo $!']);
    const took = performance.now() - from;
    process.kill(Number(result.stdout));
    assert.ok(took < 3000, `${took} ms`);
  });

  it('keeps 16 MiB of a stream, with flat memory for the rest', async () => {
    const big = (mib: number) => run('head', ['-c', `${mib * MIB}`, '/dev/zero']);
    assert.equal((await big(32)).stdout.length, 16 * MIB);
    const before = process.resourceUsage().maxRSS;
    assert.equal((await big(1024)).stdout.length, 16 * MIB);
    const grown = (process.resourceUsage().maxRSS - before) / 1024;
    console.log(`1 GiB of output: peak memory grew by ${grown.toFixed(1)} MiB over that of 32 MiB`);
    assert.ok(grown < 40, `${grown} MiB`);
    assert.equal((await run('echo', ['12345'], { maxOutput: 3 })).stdout.toString(), '123');
  });

  it('leaves no descriptor', async () => {
    await run('true', []);
    const before = (await readdir('/proc/self/fd')).length;
    await Promise.all(Array.from({ length: 50 }, () => run('cat', [], { stdin: 'x' })));
    assert.equal((await readdir('/proc/self/fd')).length, before);
  });
});

describe('the identity of a process', () => {
  const start = (seconds: string) =>
    native().spawn({
      file: 'sleep',
      argv: ['sleep', seconds],
      env: [],
      cwd: null,
      stdio: ['null', 'null', 'null'],
      setsid: false,
      netns: null,
      dieWithParent: false,
    });

  it('is its pid with its start time; a zombie is not alive', async () => {
    const own = { pid: process.pid, startTime: (await startTime(process.pid)) as string };
    assert.match(own.startTime, /^\d+$/);
    assert.equal(await isAlive(own), true);
    assert.equal(await isAlive({ ...own, startTime: '1' }), false);
    assert.equal(await startTime(2 ** 22 + 1), undefined);
    const child = start('1000');
    const identity = { pid: child.pid, startTime: (await startTime(child.pid)) as string };
    native().pidfdSendSignal(child.pidfd, 9);
    while (!(await describeProcess(child.pid)).includes('state Z'));
    assert.equal(await isAlive(identity), false);
    await native().waitPid(child.pidfd);
    native().close(child.pidfd);
    assert.equal(await describeProcess(child.pid), `process ${child.pid} is gone`);
  });

  it('killProcess kills that one and no later owner of the pid', async () => {
    const child = start('1000');
    assert.match(
      await describeProcess(child.pid),
      new RegExp(`^process ${child.pid} \\(sleep\\) is in state [SRD]`),
    );
    const identity = { pid: child.pid, startTime: (await startTime(child.pid)) as string };
    await killProcess({ ...identity, startTime: '1' });
    assert.equal(await isAlive(identity), true);
    await killProcess(identity);
    assert.equal(await isAlive(identity), false);
    await killProcess(identity);
    native().close(child.pidfd);
  });
});
