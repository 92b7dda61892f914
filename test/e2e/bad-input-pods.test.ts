import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ErrorCode } from '../../src/base/errors.ts';
import type { PodSandboxConfig } from '../../src/cri/gen/runtime/v1/PodSandboxConfig.ts';
import { containerConfig, podConfig } from '../harness/pods.ts';
import { leavesNothing, refused } from '../harness/refusal.ts';
import { World } from '../harness/world.ts';

const NONE = 'f'.repeat(64);

/** Pods that cannot be, pods that are there already, pods that are not there. */
describe('bad input: pods', () => {
  let world: World;
  before(async () => {
    world = await World.start();
    await world.pull();
  });
  after(() => world[Symbol.asyncDispose]());
  const clean = (body: () => Promise<void>) => leavesNothing(() => world.daemon, body);
  const run = (config: PodSandboxConfig, runtime_handler = '') =>
    world.daemon.cri.runtime.RunPodSandbox({ config, runtime_handler });

  describe('one name', () => {
    it(
      'of two pods: the second is told who has it, and may have the next attempt',
      clean(async () => {
        const config = podConfig(world.daemon, 'twin');
        const { pod_sandbox_id: first } = await run(config);
        const says = new RegExp(
          `sandbox default/twin/.*/0 .* is ${first}; remove that one or raise the attempt`,
        );
        await refused(run(config), 'already_exists', says);
        const { pod_sandbox_id: second } = await run({
          ...config,
          metadata: { ...config.metadata, attempt: 1 },
        });
        await world.removePod(first);
        const { pod_sandbox_id: third } = await run(config);
        for (const pod of [second, third]) await world.removePod(pod);
      }),
    );

    it(
      'of two containers: the second is told who has it, and may have the next attempt',
      clean(async () => {
        const { runtime } = world.daemon.cri;
        const { pod, container } = await world.runPod('twins', ['sleep', '1000']);
        const config = containerConfig('twins', world.image, ['true']);
        const create = (attempt: number) =>
          runtime.CreateContainer({
            pod_sandbox_id: pod,
            config: { ...config, metadata: { name: 'twins', attempt } },
          });
        await refused(
          create(0),
          'already_exists',
          new RegExp(`container twins attempt 0 .* is ${container}; remove that one or raise the attempt`),
        );
        await create(1);
        await world.removePod(pod);
      }),
    );

    it(
      'at once: calls that are the same are one call, with one answer and one pod',
      clean(async () => {
        const { runtime } = world.daemon.cri;
        const config = podConfig(world.daemon, 'joined');
        const pods = await Promise.all(Array.from({ length: 5 }, () => run(config)));
        const ids = new Set(pods.map((pod) => pod.pod_sandbox_id));
        assert.equal(ids.size, 1);
        const { items } = await runtime.ListPodSandbox({});
        assert.equal(items.length, 1);
        const [id = ''] = ids;
        const request = { pod_sandbox_id: id, config: containerConfig('c', world.image, ['sleep', '1000']) };
        const made = await Promise.all(Array.from({ length: 5 }, () => runtime.CreateContainer(request)));
        assert.equal(new Set(made.map((one) => one.container_id)).size, 1);
        const container_id = made[0]?.container_id;
        await Promise.all(Array.from({ length: 5 }, () => runtime.StartContainer({ container_id })));
        await Promise.all(
          Array.from({ length: 5 }, () => runtime.StopContainer({ container_id, timeout: 0 })),
        );
        await Promise.all(Array.from({ length: 5 }, () => runtime.StopPodSandbox({ pod_sandbox_id: id })));
        await Promise.all(Array.from({ length: 5 }, () => runtime.RemovePodSandbox({ pod_sandbox_id: id })));
      }),
    );

    it(
      'in a call whose caller gave up: who asks again gets the pod that the first call makes',
      clean(async () => {
        const config = podConfig(world.daemon, 'patient');
        const giveUp = new AbortController();
        const first = world.daemon.cri.runtime.RunPodSandbox({ config }, { signal: giveUp.signal });
        const gone = refused(first, 'canceled', /./);
        await sleep(15);
        const second = run(config);
        await sleep(5);
        giveUp.abort();
        await gone;
        const { pod_sandbox_id } = await second;
        const { items } = await world.daemon.cri.runtime.ListPodSandbox({});
        assert.deepEqual(
          items.map((pod) => pod.id),
          [pod_sandbox_id],
        );
        await world.removePod(pod_sandbox_id);
      }),
    );
  });

  describe('what does not exist', () => {
    it(
      'is stopped and removed without an error, as often as one likes',
      clean(async () => {
        const { runtime, images } = world.daemon.cri;
        for (let i = 0; i < 2; i++) {
          await runtime.StopPodSandbox({ pod_sandbox_id: NONE });
          await runtime.RemovePodSandbox({ pod_sandbox_id: NONE });
          await runtime.StopContainer({ container_id: NONE, timeout: 5 });
          await runtime.RemoveContainer({ container_id: NONE });
          await images.RemoveImage({ image: { image: 'example.org/none:1' } });
          await images.RemoveImage({ image: { image: `sha256:${NONE}` } });
        }
      }),
    );

    it(
      'is not found by all other calls, which say where to look',
      clean(async () => {
        const { runtime } = world.daemon.cri;
        const pods = /sandbox f{64}: there is none; list them with `crictl pods`/;
        const containers = /container f{64}: there is none; list them with `crictl ps -a`/;
        const container = { container_id: NONE };
        const config = containerConfig('c', world.image, ['true']);
        await refused(runtime.PodSandboxStatus({ pod_sandbox_id: NONE }), 'not_found', pods);
        await refused(runtime.PodSandboxStats({ pod_sandbox_id: NONE }), 'not_found', pods);
        await refused(runtime.CreateContainer({ pod_sandbox_id: NONE, config }), 'not_found', pods);
        await refused(runtime.ContainerStatus(container), 'not_found', containers);
        await refused(runtime.ContainerStats(container), 'not_found', containers);
        await refused(runtime.StartContainer(container), 'not_found', containers);
        await refused(runtime.ExecSync({ ...container, cmd: ['true'] }), 'not_found', containers);
        await refused(runtime.ReopenContainerLog(container), 'not_found', containers);
        await refused(runtime.UpdateContainerResources({ ...container, linux: {} }), 'not_found', containers);
      }),
    );

    it(
      'is not what an empty id means',
      clean(async () => {
        const { runtime } = world.daemon.cri;
        for (const call of [runtime.StopPodSandbox, runtime.RemovePodSandbox, runtime.PodSandboxStatus])
          await refused(call({ pod_sandbox_id: '' }), 'invalid_argument', /pod_sandbox_id/);
        for (const call of [runtime.StopContainer, runtime.RemoveContainer, runtime.ContainerStatus])
          await refused(call({ container_id: '' }), 'invalid_argument', /container_id/);
      }),
    );
  });

  it(
    'a runtime handler that is not configured is named, with those that are',
    clean(async () => {
      await refused(
        run(podConfig(world.daemon, 'kata'), 'kata'),
        'not_found',
        /runtime handler "kata" is not configured; known: runc, crun; add \[runtimes\.kata\]/,
      );
    }),
  );

  const configs: [what: string, change: () => Partial<PodSandboxConfig>, code: ErrorCode, says: RegExp][] = [
    ['no metadata', () => ({ metadata: null }), 'invalid_argument', /config\.metadata is required/],
    ['no name', () => metadata({ name: '' }), 'invalid_argument', /metadata\.name/],
    ['a line in its name', () => metadata({ name: 'a\nb' }), 'invalid_argument', /metadata\.name/],
    [
      'a NUL in its namespace',
      () => metadata({ namespace: 'a\0b' }),
      'invalid_argument',
      /metadata\.namespace/,
    ],
    ['a line in its uid', () => metadata({ uid: 'a\nb' }), 'invalid_argument', /metadata\.uid/],
    [
      'a slash in its namespace',
      () => metadata({ namespace: 'a/b' }),
      'invalid_argument',
      /metadata\.namespace/,
    ],
    ['a host name that is a path', () => ({ hostname: '../x' }), 'invalid_argument', /hostname/],
    ['a host name of 65 bytes', () => ({ hostname: 'a'.repeat(65) }), 'invalid_argument', /hostname.*64/],
    ['a log directory that is relative', () => ({ log_directory: 'x' }), 'invalid_argument', /log_directory/],
    [
      'a NUL in its log directory',
      () => ({ log_directory: '/tmp/a\0b' }),
      'invalid_argument',
      /log_directory/,
    ],
    ['a port past 65535', () => port({ container_port: 65536 }), 'invalid_argument', /container_port.*65536/],
    ['a negative port', () => port({ host_port: -1 }), 'invalid_argument', /host_port.*-1/],
    ['a host address that is none', () => port({ host_ip: '1.2.3' }), 'invalid_argument', /host_ip.*1\.2\.3/],
    [
      'a name server that is a name',
      () => dns({ servers: ['ns'] }),
      'invalid_argument',
      /dns_config\.servers/,
    ],
    [
      'a line in a search domain',
      () => dns({ searches: ['a\nb'] }),
      'invalid_argument',
      /dns_config\.searches/,
    ],
    [
      'a sysctl of the node',
      () => sysctl('kernel.panic', '1'),
      'invalid_argument',
      /kernel\.panic.*on the node/,
    ],
    [
      'a sysctl that climbs',
      () => sysctl('net/../kernel/panic', '1'),
      'invalid_argument',
      /not the name of a sysctl/,
    ],
    ['a sysctl that is none', () => sysctl('net.ipv4.nope', '1'), 'invalid_argument', /net[./]ipv4[./]nope/],
    [
      'a value that no sysctl takes',
      () => sysctl('net.ipv4.ip_forward', 'maybe'),
      'invalid_argument',
      /ip_forward/,
    ],
    [
      'a cgroup that climbs',
      () => ({ linux: { cgroup_parent: '/../..' } }),
      'invalid_argument',
      /cgroup_parent/,
    ],
    [
      'a NUL in its cgroup',
      () => ({ linux: { cgroup_parent: '/a\0b' } }),
      'invalid_argument',
      /cgroup_parent/,
    ],
    [
      'a user namespace',
      () => userns(),
      'unimplemented',
      /userns_options: user namespaces are not served.*hostUsers/,
    ],
  ];
  for (const [what, change, code, says] of configs)
    it(
      `a pod with ${what} is refused by the field's name`,
      clean(async () => {
        await refused(run(podConfig(world.daemon, 'bad', change())), code, says);
      }),
    );

  it(
    'large and strange texts that may be there come back as they were',
    clean(async () => {
      const { runtime } = world.daemon.cri;
      const annotations = { big: 'x'.repeat(1024 * 1024), 'a/b\nc': 'line\nand "quote" \u0001 \u{1F600}' };
      const labels = { __proto__x: '1', constructor: '2', empty: '' };
      const config = podConfig(world.daemon, 'strange', { annotations, labels });
      const { pod_sandbox_id } = await run({ ...config, metadata: { ...config.metadata, name: 'a b' } });
      const { status } = await runtime.PodSandboxStatus({ pod_sandbox_id });
      assert.deepEqual(status?.annotations, annotations);
      assert.deepEqual(status?.labels, labels);
      assert.equal(status?.metadata?.name, 'a b');
      await world.removePod(pod_sandbox_id);
    }),
  );

  it(
    'nothing is made in a pod that was stopped',
    clean(async () => {
      const { runtime } = world.daemon.cri;
      const { pod_sandbox_id } = await run(podConfig(world.daemon, 'stopped'));
      const config = containerConfig('c', world.image, ['true']);
      const { container_id } = await runtime.CreateContainer({ pod_sandbox_id, config });
      await runtime.StopPodSandbox({ pod_sandbox_id });
      const late = containerConfig('late', world.image, ['true']);
      await refused(
        runtime.CreateContainer({ pod_sandbox_id, config: late }),
        'failed_precondition',
        /is not ready: no container can be made in it/,
      );
      await refused(
        runtime.StartContainer({ container_id }),
        'failed_precondition',
        /its sandbox is not ready/,
      );
      await runtime.RemovePodSandbox({ pod_sandbox_id });
    }),
  );
});

function metadata(changes: object): Partial<PodSandboxConfig> {
  return { metadata: { name: 'bad', namespace: 'default', uid: randomUUID(), attempt: 0, ...changes } };
}

function port(changes: object): Partial<PodSandboxConfig> {
  return { port_mappings: [{ protocol: 'TCP', container_port: 80, host_port: 0, ...changes }] };
}

function dns(changes: object): Partial<PodSandboxConfig> {
  return { dns_config: { servers: [], searches: [], options: [], ...changes } };
}

function sysctl(key: string, value: string): Partial<PodSandboxConfig> {
  return { linux: { sysctls: { [key]: value } } };
}

function userns(): Partial<PodSandboxConfig> {
  const ids = [{ host_id: 100_000, container_id: 0, length: 65_536 }];
  const userns_options = { mode: 'POD' as const, uids: ids, gids: ids };
  return { linux: { security_context: { namespace_options: { userns_options } } } };
}
