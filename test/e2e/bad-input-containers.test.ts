import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { ContainerConfig } from '../../src/cri/gen/runtime/v1/ContainerConfig.ts';
import { containerConfig, podConfig } from '../harness/pods.ts';
import { leavesNothing, refused } from '../harness/refusal.ts';
import { until } from '../harness/until.ts';
import { World } from '../harness/world.ts';

/** Containers that cannot be, or cannot be asked: told in time, and removed with their pod. */
describe('bad input: containers', () => {
  let world: World;
  let pod: string;

  before(async () => {
    world = await World.start();
    await world.pull();
  });
  after(() => world[Symbol.asyncDispose]());

  /** The test's body with a pod of its own, which is removed before what is left is counted. */
  const inPod = (body: () => Promise<void>) =>
    leavesNothing(
      () => world.daemon,
      async () => {
        const config = podConfig(world.daemon, 'bad');
        ({ pod_sandbox_id: pod } = await world.daemon.cri.runtime.RunPodSandbox({ config }));
        try {
          await body();
        } finally {
          await world.removePod(pod);
        }
      },
    );
  const create = (command: string[], changes: Partial<ContainerConfig> = {}) =>
    world.daemon.cri.runtime.CreateContainer({
      pod_sandbox_id: pod,
      config: containerConfig('main', world.image, command, changes),
      sandbox_config: podConfig(world.daemon, 'bad'),
    });

  it(
    'a command that is not in the image: exited with 128, StartError, and its name in the message',
    inPod(async () => {
      const { runtime } = world.daemon.cri;
      const { container_id } = await create(['/bin/absent']);
      await assert.rejects(runtime.StartContainer({ container_id }), /\/bin\/absent/);
      const { status } = await runtime.ContainerStatus({ container_id });
      const { state, exit_code, reason, message } = status ?? {};
      assert.deepEqual(
        { state, exit_code, reason },
        { state: 'CONTAINER_EXITED', exit_code: 128, reason: 'StartError' },
      );
      assert.match(message ?? '', /\/bin\/absent/);
    }),
  );

  it(
    'a user that the image does not know makes no container',
    inPod(async () => {
      const linux = { security_context: { run_as_username: 'nobody-here' } };
      await assert.rejects(create(['/bin/true'], { linux }), /nobody-here/);
      assert.deepEqual((await world.daemon.cri.runtime.ListContainers({})).containers, []);
    }),
  );

  it(
    'one that has ended takes no command, no new log, no second start',
    inPod(async () => {
      const { runtime } = world.daemon.cri;
      const { container_id } = await create(['/bin/true']);
      await runtime.StartContainer({ container_id });
      await until('its end', async () => {
        const { status } = await runtime.ContainerStatus({ container_id });
        return status?.state === 'CONTAINER_EXITED';
      });
      const notRunning = /not running|has ended|exited/i;
      await refused(runtime.ExecSync({ container_id, cmd: ['true'] }), 'failed_precondition', notRunning);
      await refused(runtime.ReopenContainerLog({ container_id }), 'failed_precondition', notRunning);
      await refused(runtime.StartContainer({ container_id }), 'failed_precondition', notRunning);
    }),
  );

  it(
    'a command of no words is refused',
    inPod(async () => {
      const { runtime } = world.daemon.cri;
      const { container_id } = await create(['/bin/sleep', '1000']);
      await runtime.StartContainer({ container_id });
      await refused(runtime.ExecSync({ container_id, cmd: [] }), 'invalid_argument', /cmd/);
    }),
  );
});
