import assert from 'node:assert/strict';
import { spawn as nodeSpawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import { describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { native, type Spawn } from '../../../src/os/native.ts';
import { run } from '../../../src/os/process.ts';
import { until } from './processes.ts';

const SLEEP: Spawn = {
  file: '/bin/sleep',
  argv: ['sleep', '0.2'],
  env: [],
  cwd: null,
  stdio: ['null', 'null', 'null'],
  setsid: false,
  netns: null,
  dieWithParent: false,
};

describe('a spawned child', () => {
  it('has default signals, an empty mask and the limit from before Node raised it', async () => {
    const own = await readFile('/proc/self/status', 'utf8');
    const ignored = BigInt(`0x${/^SigIgn:\s+(\w+)$/m.exec(own)?.[1]}`);
    assert.ok(ignored & (1n << 12n), 'Node ignores SIGPIPE (13): else this test proves nothing');
    const { stdout } = await run('cat', ['/proc/self/status', '/proc/self/limits']);
    for (const set of ['SigBlk', 'SigIgn', 'SigCgt'])
      assert.match(`${stdout}`, new RegExp(`^${set}:\\s+0+$`, 'm'));
    const wanted = process.env.SKIFF_NOFILE_SOFT ?? '1024';
    assert.match(`${stdout}`, new RegExp(`^Max open files\\s+${wanted} `, 'm'));
  });

  it('has no descriptor but its own, whatever is open here', async () => {
    const server = createServer().listen(0);
    await once(server, 'listening');
    const file = openSync('/etc/passwd', 'r');
    const { stdout } = await run('ls', ['/proc/self/fd']);
    // 3 is the directory that ls itself reads.
    assert.equal(stdout.toString(), '0\n1\n2\n3\n');
    closeSync(file);
    server.close();
  });

  it('starts in the network namespace asked for', async () => {
    const pinned = '/run/netns/sk-spawn-test';
    await native().pinNamespaces({ net: pinned, ipc: null, uts: null, hostname: '', sysctls: [] });
    try {
      const inside = await run('readlink', ['/proc/self/ns/net'], { netns: pinned });
      assert.match(inside.stdout.toString(), /^net:\[\d+\]\n$/);
      assert.notEqual(inside.stdout.toString().trim(), await readlink('/proc/self/ns/net'));
    } finally {
      await native().umount(pinned, 0);
      await native().removeTree(pinned);
    }
  });

  it('that cannot be started says why and leaves no descriptor and no process', async () => {
    const before = (await readdir('/proc/self/fd')).length;
    const fails = (change: Partial<Spawn>, wanted: object) =>
      assert.throws(() => native().spawn({ ...SLEEP, stdio: ['pipe', 'pipe', 'pipe'], ...change }), wanted);
    fails({ file: '/no/such' }, { code: 'ENOENT', syscall: 'spawn' });
    fails({ file: '/etc/passwd' }, { code: 'EACCES' });
    fails({ cwd: '/no/dir' }, { code: 'ENOENT', message: 'spawn /no/dir: No such file or directory' });
    fails({ netns: '/etc/passwd' }, { code: 'EINVAL' });
    fails({ stdio: [99999] }, { code: 'EBADF' });
    assert.equal((await readdir('/proc/self/fd')).length, before);
    assert.equal((await readFile(`/proc/self/task/${process.pid}/children`, 'utf8')).trim(), '');
  });
});

describe('waitPid', () => {
  it('waits for 100 children at once and reaps each', async () => {
    const from = performance.now();
    const children = Array.from({ length: 100 }, (_, i) =>
      native().spawn({ ...SLEEP, file: '/bin/sh', argv: ['sh', '-c', `sleep 0.3; exit ${i}`] }),
    );
    const ends = await Promise.all(children.map(({ pidfd }) => native().waitPid(pidfd)));
    assert.deepEqual(
      ends.map(({ code }) => code),
      Array.from({ length: 100 }, (_, i) => i),
    );
    for (const { pidfd } of children) native().close(pidfd);
    assert.equal((await readFile(`/proc/self/task/${process.pid}/children`, 'utf8')).trim(), '');
    console.log(`100 children that sleep 300 ms: ${(performance.now() - from).toFixed(0)} ms`);
  });

  it('tells the signal; of a process that is no child only the end', async () => {
    const child = native().spawn({ ...SLEEP, argv: ['sleep', '100'] });
    const second = native().pidfdOpen(child.pid);
    const ended = Promise.all([native().waitPid(child.pidfd), native().waitPid(second)]);
    native().pidfdSendSignal(child.pidfd, 15);
    // One of the two reaps it, for the other it is nobody's child any more.
    const signals = (await ended).map(({ signal }) => signal).sort();
    assert.deepEqual(signals, [15, null]);
    assert.throws(() => native().pidfdSendSignal(child.pidfd, 9), { code: 'ESRCH' });
    native().close(child.pidfd);
    native().close(second);
  });

  it('does not keep a worker from ending', async () => {
    const file = new URL('../../../src/os/native.ts', import.meta.url).href;
    const script = `import(${JSON.stringify(file)}).then(({ native }) => {
      const child = native().spawn(${JSON.stringify({ ...SLEEP, argv: ['sleep', '77'] })});
      native().waitPid(child.pidfd);
      require('node:worker_threads').parentPort.postMessage(child);
    })`;
    const worker = new Worker(script, { eval: true });
    const [child] = await once(worker, 'message');
    await worker.terminate();
    native().pidfdSendSignal(child.pidfd, 9);
    await native().waitPid(child.pidfd);
    native().close(child.pidfd);
  });
});

describe('the event loop', () => {
  it('is blocked by a spawn for less time than by that of Node', async () => {
    const ballast = Buffer.alloc(256 * 1024 * 1024, 1);
    const ours = await median(() => {
      const child = native().spawn({ ...SLEEP, file: '/bin/true', argv: ['true'] });
      return async () => {
        await native().waitPid(child.pidfd);
        native().close(child.pidfd);
      };
    });
    const nodes = await median(() => {
      const child = nodeSpawn('/bin/true', { stdio: 'ignore' });
      return () => once(child, 'exit');
    });
    console.log(
      `spawn blocks the loop: native ${ours.toFixed(2)} ms, Node ${nodes.toFixed(2)} ms (${ballast.length >> 20} MiB heap beside it)`,
    );
    assert.ok(ours < nodes, `${ours} ms against ${nodes} ms`);
  });
});

/** Median of what 41 calls take that return what must be awaited afterwards. */
async function median(call: () => () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < 41; i++) {
    const from = performance.now();
    const after = call();
    times.push(performance.now() - from);
    await after();
  }
  return times.sort((a, b) => a - b)[20] as number;
}

it('killTree ends a tree whose middle has gone', async () => {
  const script = 'sleep 4321 & (sleep 4321 & true) & sh -c "sleep 4321; true"; true';
  const child = native().spawn({ ...SLEEP, file: 'sh', argv: ['sh', '-c', script], setsid: true });
  const sleepers = async () => `${(await run('pgrep', ['-fxc', 'sleep 4321'])).stdout}`.trim();
  await until('three sleep', async () => (await sleepers()) === '3');
  assert.ok((await native().killTree(child.pid)) >= 4);
  assert.equal(await sleepers(), '0');
  assert.equal((await native().waitPid(child.pidfd)).signal, 9);
  native().close(child.pidfd);
  assert.equal(await native().killTree(child.pid), 0);
  await assert.rejects(native().killTree(1), { code: 'EINVAL' });
});
