import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { silentLog } from '../../../src/base/log.ts';
import { native } from '../../../src/os/native.ts';
import { artefact } from '../../../src/os/paths.ts';
import { run } from '../../../src/os/process.ts';
import { ExecSync } from '../../../src/service/exec-sync.ts';
import { type BusyboxContainer, startBusybox } from './busybox-container.ts';
import { processesRunning, until } from './processes.ts';

const MIB = 1024 * 1024;
const NEVER = new AbortController().signal;

for (const program of ['runc', 'crun'])
  describe(`ExecSync with ${program}`, () => {
    let container: BusyboxContainer;
    let exec: ExecSync;
    before(async () => {
      container = await startBusybox(program);
      exec = new ExecSync(
        { stateDir: container.stateDir },
        { runtimes: () => container.runtime, log: silentLog() },
      );
    });
    after(() => container.remove());

    const sh = (script: string, timeout = 0, signal = NEVER) =>
      exec.run(container.row, container.process(['sh', '-c', script]), timeout, signal);
    const left = () => readdir(join(container.stateDir, 'containers', container.row.id, 'exec'));

    it('gives streams and code of the process, any code', async () => {
      const result = await sh('echo $MARK; echo err >&2; exit 3');
      assert.deepEqual([`${result.stdout}`, `${result.stderr}`, result.exitCode], ['busybox\n', 'err\n', 3]);
      // The runtime's own failure ends with the same code.
      assert.equal((await sh('exit 255')).exitCode, 255);
      assert.equal((await sh('kill -9 $$')).exitCode, 137);
      assert.equal((await sh('cat')).stdout.length, 0);
    });

    it('starts it with default signals and no descriptor of ours', async () => {
      const { stdout } = await sh('cat /proc/self/status; ls=$(echo /proc/self/fd/*); echo "$ls"');
      for (const set of ['SigBlk', 'SigIgn']) assert.match(`${stdout}`, new RegExp(`^${set}:\\s+0+$`, 'm'));
      assert.match(
        `${stdout}`,
        /^\/proc\/self\/fd\/0 \/proc\/self\/fd\/1 \/proc\/self\/fd\/2( \/proc\/self\/fd\/3)?$/m,
      );
    });

    it('answers unknown, in words of the runtime, where nothing could be started', async () => {
      const missing = exec.run(container.row, container.process(['no-such-command']), 0, NEVER);
      await assert.rejects(missing, (error: Error & { code: string }) => {
        assert.equal(error.code, 'unknown');
        assert.match(error.message, /^exec in container busybox-.*no-such-command.*not found in \$PATH/);
        return true;
      });
      const gone = exec.run({ ...container.row, id: 'gone' }, container.process(['true']), 0, NEVER);
      await assert.rejects(gone, { code: 'unknown', message: /does not exist|No such file/ });
    });

    it('kills the whole tree at the deadline', async () => {
      const from = performance.now();
      await assert.rejects(sh('/bin/sleep 1000 & /bin/sleep 1000', 1), {
        code: 'deadline_exceeded',
        message: /within 1 s/,
      });
      console.log(`${program}: timeout of 1 s answered after ${(performance.now() - from).toFixed(0)} ms`);
      assert.deepEqual(await processesRunning('/bin/sleep', '1000'), []);
      assert.equal((await sh('echo still here')).stdout.toString(), 'still here\n');
    });

    it('kills it when the caller goes away', async () => {
      await assert.rejects(sh('/bin/sleep 1001', 0, AbortSignal.timeout(300)), { code: 'deadline_exceeded' });
      assert.deepEqual(await processesRunning('/bin/sleep', '1001'), []);
    });

    it('does not wait for a background child that holds stdout, and lets it live', async () => {
      const from = performance.now();
      const result = await sh('/bin/sleep 1002 & echo started');
      assert.ok(performance.now() - from < 4000);
      assert.equal(result.stdout.toString(), 'started\n');
      const [child, ...more] = await processesRunning('/bin/sleep', '1002');
      assert.deepEqual(more, []);
      process.kill(child as number, 'SIGKILL');
    });

    it('keeps 16 MiB of each stream, with flat memory', async () => {
      await sh(`head -c ${32 * MIB} /dev/zero`);
      const peak = process.resourceUsage().maxRSS;
      const result = await sh(
        `head -c ${256 * MIB} /dev/zero | tee /dev/stderr`.replace('tee /dev/stderr', 'cat'),
      );
      assert.equal(result.stdout.length, 16 * MIB);
      const grown = (process.resourceUsage().maxRSS - peak) / 1024;
      console.log(
        `${program}: 256 MiB of output, peak memory grew by ${grown.toFixed(1)} MiB over that of 32 MiB`,
      );
      assert.ok(grown < 40, `${grown} MiB`);
    });

    it('serves 20 at once and leaves nothing', async () => {
      const from = performance.now();
      const codes = await Promise.all(Array.from({ length: 20 }, (_, i) => sh(`exit ${i}`)));
      console.log(`${program}: 20 execs at once in ${(performance.now() - from).toFixed(0)} ms`);
      assert.deepEqual(
        codes.map(({ exitCode }) => exitCode),
        Array.from({ length: 20 }, (_, i) => i),
      );
      assert.deepEqual(await left(), []);
    });

    it('sweep ends what a daemon that was killed had running', async () => {
      // Another process stands for the daemon: it is killed in the middle of an exec.
      const script = [
        `import { OciRuntime } from '${import.meta.dirname}/../../../src/os/oci-runtime.ts';`,
        `import { ExecSync } from '${import.meta.dirname}/../../../src/service/exec-sync.ts';`,
        `const runtime = new OciRuntime(${JSON.stringify({ name: program, path: program, root: container.runtime.root, systemdCgroup: false })}, { log: null });`,
        `const exec = new ExecSync({ stateDir: '${container.stateDir}' }, { runtimes: () => runtime, log: null });`,
        `await exec.run(${JSON.stringify(container.row)}, ${JSON.stringify(container.process(['sleep', '1003']))}, 0, new AbortController().signal);`,
      ].join('\n');
      const daemon = native().spawn({
        file: process.execPath,
        argv: ['node', '--input-type=module', '-e', script],
        env: [`PATH=${process.env.PATH}`],
        cwd: null,
        stdio: ['null', 2, 2],
        setsid: false,
        netns: null,
        dieWithParent: false,
      });
      await until('the exec runs', async () => (await processesRunning('sleep', '1003')).length === 1);
      native().pidfdSendSignal(daemon.pidfd, 9);
      await native().waitPid(daemon.pidfd);
      native().close(daemon.pidfd);
      assert.equal((await processesRunning('sleep', '1003')).length, 1, 'it outlives the daemon');
      await exec.sweep(container.row.id);
      assert.deepEqual(await processesRunning('sleep', '1003'), []);
      await assert.rejects(left(), { code: 'ENOENT' });
      await exec.sweep(container.row.id);
      assert.equal((await sh('echo alive')).stdout.toString(), 'alive\n');
    });

    it('leaves no process of the runtime beside the one that runs', async () => {
      const running = sh('/bin/sleep 1004', 3);
      await until('the exec runs', async () => (await processesRunning('/bin/sleep', '1004')).length === 1);
      const [pid] = await processesRunning('/bin/sleep', '1004');
      const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
      const parent = stat.slice(stat.lastIndexOf(')') + 4).split(' ')[0];
      assert.equal(
        (await run('readlink', [`/proc/${parent}/exe`])).stdout.toString().trim(),
        artefact('skiff-exec'),
      );
      const memory = await readFile(`/proc/${parent}/smaps_rollup`, 'utf8');
      console.log(`${program}: the parent of an exec holds ${/Pss:\s+(\d+) kB/.exec(memory)?.[1]} kB`);
      process.kill(pid as number, 'SIGTERM');
      assert.equal((await running).exitCode, 143);
    });
  });
