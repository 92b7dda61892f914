import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ContainerConfig } from '../../src/cri/gen/runtime/v1/ContainerConfig.ts';
import { containerConfig } from '../harness/pods.ts';
import { leavesNothing, refused } from '../harness/refusal.ts';
import { until } from '../harness/until.ts';
import { World } from '../harness/world.ts';

/** Containers that run, or have: started twice, executed in too long or too late, deaf to signals. */
describe('bad input: processes', () => {
  let world: World;
  /** The pod in which the containers run. */
  let pod: string;
  let made = 0;
  before(async () => {
    world = await World.start();
    await world.pull();
    // The pod's own cgroup comes with its first container.
    const first = await world.runPod('base', ['true']);
    pod = first.pod;
    await remove(first.container);
  });
  after(() => world[Symbol.asyncDispose]());
  const clean = (body: () => Promise<void>) => leavesNothing(() => world.daemon, body);

  const create = async (command: string[], changes: Partial<ContainerConfig> = {}) => {
    const config = containerConfig(`c${++made}`, world.image, command, changes);
    const { container_id } = await world.daemon.cri.runtime.CreateContainer({ pod_sandbox_id: pod, config });
    return container_id;
  };
  const started = async (command: string[], changes: Partial<ContainerConfig> = {}) => {
    const container_id = await create(command, changes);
    await world.daemon.cri.runtime.StartContainer({ container_id });
    return container_id;
  };
  const status = async (container_id: string) => {
    const reply = await world.daemon.cri.runtime.ContainerStatus({ container_id });
    assert.ok(reply.status);
    return reply.status;
  };
  const exited = (id: string) =>
    until('it has exited', async () => (await status(id)).state === 'CONTAINER_EXITED');
  const remove = (container_id: string) => world.daemon.cri.runtime.RemoveContainer({ container_id });

  it(
    'a container is started once',
    clean(async () => {
      const container_id = await started(['sleep', '1000']);
      const { runtime } = world.daemon.cri;
      await refused(
        runtime.StartContainer({ container_id }),
        'failed_precondition',
        /it is running, not created/,
      );
      await remove(container_id);
    }),
  );

  describe('exec', () => {
    it(
      'past its timeout is DeadlineExceeded, and all that it started is dead',
      clean(async () => {
        const container_id = await started(['sleep', '1000']);
        const command = 'sleep 4218 & setsid sleep 4219 & exec sleep 4220';
        const call = { container_id, cmd: ['sh', '-c', command], timeout: 1 };
        await refused(
          world.daemon.cri.runtime.ExecSync(call),
          'deadline_exceeded',
          /did not end within 1 s and was killed/,
        );
        assert.deepEqual(await running(/^sleep 42(18|19|20)$/), []);
        await remove(container_id);
      }),
    );

    it(
      'with a timeout of three hundred thousand million years is not ended at once',
      clean(async () => {
        const container_id = await started(['sleep', '1000']);
        const call = {
          container_id,
          cmd: ['sh', '-c', 'sleep 0.2; echo done'],
          timeout: '9223372036854775807',
        };
        const { stdout, exit_code } = await world.daemon.cri.runtime.ExecSync(call);
        assert.deepEqual([stdout.toString(), exit_code], ['done\n', 0]);
        await remove(container_id);
      }),
    );

    it(
      'whose caller goes away is ended with all that it started',
      clean(async () => {
        const container_id = await started(['sleep', '1000']);
        const call = { container_id, cmd: ['sh', '-c', 'sleep 4221 & exec sleep 4222'] };
        await refused(world.daemon.cri.runtime.ExecSync(call, { timeoutMs: 300 }), 'deadline_exceeded', /./);
        await until('both are dead', async () => (await running(/^sleep 422[12]$/)).length === 0);
        await remove(container_id);
      }),
    );

    it(
      'of what is not there says so, and the container goes on',
      clean(async () => {
        const container_id = await started(['sleep', '1000']);
        const exec = (...cmd: string[]) => world.daemon.cri.runtime.ExecSync({ container_id, cmd });
        await refused(exec('no-such-command'), 'unknown', /no-such-command.*not found/);
        await refused(exec('/etc'), 'unknown', /\/etc/);
        await refused(exec(), 'invalid_argument', /cmd is empty/);
        await refused(exec('a\0b'), 'invalid_argument', /cmd.*NUL/);
        assert.equal((await exec('true')).exit_code, 0);
        await remove(container_id);
      }),
    );

    it(
      'in a container that does not run is refused',
      clean(async () => {
        const { runtime } = world.daemon.cri;
        const container_id = await create(['true']);
        const exec = () => runtime.ExecSync({ container_id, cmd: ['true'] });
        await refused(exec(), 'failed_precondition', /it is created, not running/);
        await runtime.StartContainer({ container_id });
        await exited(container_id);
        await refused(exec(), 'failed_precondition', /it is exited, not running/);
        await refused(
          runtime.ReopenContainerLog({ container_id }),
          'failed_precondition',
          /it is exited, not running/,
        );
        await remove(container_id);
      }),
    );
  });

  describe('a stop', () => {
    const deaf = ['sh', '-c', "trap '' TERM INT HUP QUIT USR1 USR2; while :; do sleep 0.1; done"];

    it(
      'of a process that ignores every signal kills it after the timeout',
      clean(async () => {
        const container_id = await started(deaf);
        await until('it is deaf', async () => (await running(/^sleep 0\.1$/)).length > 0);
        const began = performance.now();
        await world.daemon.cri.runtime.StopContainer({ container_id, timeout: 1 });
        const took = performance.now() - began;
        assert.ok(took >= 1000 && took < 3000, `${took} ms`);
        const { state, exit_code, reason } = await status(container_id);
        assert.deepEqual(
          { state, exit_code, reason },
          { state: 'CONTAINER_EXITED', exit_code: 137, reason: 'Error' },
        );
        await remove(container_id);
      }),
    );

    it(
      'that is asked for again with less time is shortened by that',
      clean(async () => {
        const container_id = await started(deaf);
        await until('it is deaf', async () => (await running(/^sleep 0\.1$/)).length > 0);
        const began = performance.now();
        const first = world.daemon.cri.runtime.StopContainer({ container_id, timeout: 60 });
        await sleep(200);
        await world.daemon.cri.runtime.StopContainer({ container_id, timeout: 1 });
        await first;
        const took = performance.now() - began;
        assert.ok(took >= 1000 && took < 4000, `${took} ms`);
        await remove(container_id);
      }),
    );

    for (const timeout of ['-1', '-9223372036854775808'])
      it(
        `with ${timeout} seconds of grace kills at once`,
        clean(async () => {
          const container_id = await started(deaf);
          await world.daemon.cri.runtime.StopContainer({ container_id, timeout });
          assert.equal((await status(container_id)).exit_code, 137);
          await remove(container_id);
        }),
      );

    for (const timeout of ['2592000', '9223372036854775807'])
      it(
        `with ${timeout} seconds of grace gives grace`,
        clean(async () => {
          const command = "trap 'sleep 0.5; exit 3' TERM; touch /tmp/ready; while :; do sleep 0.1; done";
          const container_id = await started(['sh', '-c', command]);
          const ready = { container_id, cmd: ['ls', '/tmp/ready'] };
          await until(
            'the trap is set',
            async () => (await world.daemon.cri.runtime.ExecSync(ready)).exit_code === 0,
          );
          await world.daemon.cri.runtime.StopContainer({ container_id, timeout });
          assert.equal((await status(container_id)).exit_code, 3);
          await remove(container_id);
        }),
      );
  });

  it(
    'limits without sense are refused or mean no limit, and the container stays whole',
    clean(async () => {
      const container_id = await started(['sleep', '1000']);
      const update = (linux: object) =>
        world.daemon.cri.runtime.UpdateContainerResources({ container_id, linux });
      for (const value of ['-1', '-9223372036854775808', '9223372036854775807'])
        for (const field of [
          'cpu_period',
          'cpu_quota',
          'cpu_shares',
          'memory_limit_in_bytes',
          'oom_score_adj',
        ])
          await update({ [field]: value }).catch((cause) =>
            assert.ok(cause.code !== 'internal', cause.message),
          );
      await update({ cpuset_cpus: 'all of them' }).catch((cause) => assert.notEqual(cause.code, 'internal'));
      await update({ unified: { '../../x': '1' } }).catch((cause) => assert.notEqual(cause.code, 'internal'));
      assert.equal((await status(container_id)).state, 'CONTAINER_RUNNING');
      await remove(container_id);
    }),
  );
});

/** Command lines of processes, as /proc has them. */
async function running(pattern: RegExp): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')),
  );
  return lines.map((line) => line.split('\0').join(' ').trim()).filter((line) => pattern.test(line));
}
