import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, readlink } from 'node:fs/promises';
import { after, before, describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isCode, SkiffError } from '../../src/base/errors.ts';
import type { ContainerConfig } from '../../src/cri/gen/runtime/v1/ContainerConfig.ts';
import type { PodSandboxConfig } from '../../src/cri/gen/runtime/v1/PodSandboxConfig.ts';
import { imageService, runtimeService } from '../../src/cri/proto.ts';
import { containerConfig, podConfig } from '../harness/pods.ts';
import { seededRandom } from '../harness/random.ts';
import { leavesNothing, refused } from '../harness/refusal.ts';
import { until } from '../harness/until.ts';
import { World } from '../harness/world.ts';
import { frame, rawCall, rawConnection, rawSession } from '../integration/cri/raw.ts';

/** What a caller that gave up gets; a call that was done in time is fine too. */
const GIVEN_UP = ['deadline_exceeded', 'canceled'];

const SEED = Number(process.env.SKIFF_SEED ?? Math.floor(Math.random() * 1e6));

/** Calls that are given up midway, bytes that are none, more of both than anybody should send. */
describe('bad input: calls', () => {
  let world: World;
  /** Keeps the bridge: plugins that make it anew and are killed at that fail each other. */
  let base: string;
  before(async () => {
    world = await World.start();
    await world.pull();
    const config = podConfig(world.daemon, 'base');
    base = (await world.daemon.cri.runtime.RunPodSandbox({ config })).pod_sandbox_id;
  });
  after(async () => {
    await world[Symbol.asyncDispose]();
  });
  const clean = (body: (t: TestContext) => Promise<void>) => (t: TestContext) =>
    leavesNothing(
      () => world.daemon,
      () => body(t),
    )();

  /** undefined where it was given up in time; any other failure is the test's. */
  const orGivenUp = async <T>(call: Promise<T>): Promise<T | undefined> => {
    try {
      return await call;
    } catch (cause) {
      assert.ok(cause instanceof SkiffError && GIVEN_UP.includes(cause.code), String(cause));
      return undefined;
    }
  };
  const otherPods = async () =>
    (await world.daemon.cri.runtime.ListPodSandbox({})).items.filter(({ id }) => id !== base);
  const removeOthers = async () => {
    const others = await otherPods();
    await Promise.all(others.map(({ id }) => world.removePod(id)));
    return others.length;
  };
  /** RunPodSandbox once more: the name is free again, or its pod is there. */
  const askAgain = async (config: PodSandboxConfig) => {
    const { runtime } = world.daemon.cri;
    try {
      return (await runtime.RunPodSandbox({ config })).pod_sandbox_id;
    } catch (cause) {
      assert.ok(isCode(cause, 'already_exists'), String(cause));
      const { items } = await runtime.ListPodSandbox({});
      const pod = items.find((one) => one.metadata?.uid === config.metadata?.uid);
      assert.equal(pod?.state, 'SANDBOX_READY');
      return pod.id;
    }
  };
  const createAgain = async (request: { pod_sandbox_id: string; config: ContainerConfig }) => {
    const { runtime } = world.daemon.cri;
    try {
      return (await runtime.CreateContainer(request)).container_id;
    } catch (cause) {
      assert.ok(isCode(cause, 'already_exists'), String(cause));
      const { containers } = await runtime.ListContainers({});
      const there = containers.find((one) => one.metadata?.name === request.config.metadata?.name);
      assert.equal(there?.state, 'CONTAINER_CREATED');
      return there.id;
    }
  };
  /** Descriptors that the daemon holds, without the connections of its clients. */
  const descriptors = async () => {
    const directory = `/proc/${world.daemon.pid}/fd`;
    const links = (await readdir(directory)).map((fd) =>
      readlink(`${directory}/${fd}`).catch(() => 'socket:'),
    );
    return (await Promise.all(links)).filter((link) => !link.startsWith('socket:')).length;
  };

  it(
    'RunPodSandbox that is given up at any instant leaves nothing, and may be asked again',
    clean(async (t) => {
      const random = seededRandom(SEED);
      t.diagnostic(`seed ${SEED} (SKIFF_SEED=${SEED} makes the same instants again)`);
      const before = await descriptors();
      let kept = 0;
      for (let round = 0; round < 20; round++) {
        const config = podConfig(world.daemon, `hasty-${round}`);
        const timeoutMs = 1 + Math.floor(random() * 200);
        const made = await orGivenUp(world.daemon.cri.runtime.RunPodSandbox({ config }, { timeoutMs }));
        if (made !== undefined) await world.removePod(made.pod_sandbox_id);
        else if (round % 4 === 0) await world.removePod(await askAgain(config));
        else continue;
        kept++;
      }
      t.diagnostic(`${kept} of 20 were made`);
      await removeOthers();
      await until('no descriptor is left open', async () => (await descriptors()) <= before + 2);
    }),
  );

  it(
    'CreateContainer and StartContainer that are given up at any instant leave what can be removed',
    clean(async (t) => {
      const random = seededRandom(SEED);
      t.diagnostic(`seed ${SEED} (SKIFF_SEED=${SEED} makes the same instants again)`);
      const { runtime } = world.daemon.cri;
      const config = podConfig(world.daemon, 'steady');
      const { pod_sandbox_id } = await runtime.RunPodSandbox({ config });
      for (let round = 0; round < 12; round++) {
        const request = {
          pod_sandbox_id,
          config: containerConfig(`hasty-${round}`, world.image, ['sleep', '1000']),
        };
        const timeoutMs = 1 + Math.floor(random() * 60);
        const made = await orGivenUp(runtime.CreateContainer(request, { timeoutMs }));
        const call = { container_id: made?.container_id ?? (await createAgain(request)) };
        const given = await orGivenUp(
          runtime.StartContainer(call, { timeoutMs: 1 + Math.floor(random() * 120) }),
        );
        if (given === undefined)
          // What was under way goes on: then it is running, and a second start is told so.
          await runtime
            .StartContainer(call)
            .catch((cause) => assert.equal(cause.code, 'failed_precondition', cause.message));
        const { status } = await runtime.ContainerStatus(call);
        assert.equal(status?.state, 'CONTAINER_RUNNING');
        const stop = { ...call, timeout: 5 };
        await orGivenUp(runtime.StopContainer(stop, { timeoutMs: 1 + Math.floor(random() * 30) }));
        await runtime.RemoveContainer(call);
      }
      await world.removePod(pod_sandbox_id);
    }),
  );

  it(
    'a stop and a removal that are given up are done by asking again',
    clean(async () => {
      const { runtime } = world.daemon.cri;
      for (const timeoutMs of [1, 5, 20, 60]) {
        const { pod } = await world.runPod(`left-${timeoutMs}`, ['sleep', '1000']);
        const call = { pod_sandbox_id: pod };
        await orGivenUp(runtime.StopPodSandbox(call, { timeoutMs }));
        await orGivenUp(runtime.RemovePodSandbox(call, { timeoutMs }));
        await runtime.StopPodSandbox(call);
        await runtime.RemovePodSandbox(call);
      }
    }),
  );

  it(
    'thirty pods at once, half of them given up: the others run, and nothing of the half is there',
    clean(async (t) => {
      const random = seededRandom(SEED);
      t.diagnostic(`seed ${SEED} (SKIFF_SEED=${SEED} makes the same instants again)`);
      const { runtime } = world.daemon.cri;
      const asked = await Promise.all(
        Array.from({ length: 30 }, async (_, i) => {
          const abort = new AbortController();
          if (i % 2 === 1) setTimeout(() => abort.abort(), 1 + random() * 1500);
          const config = podConfig(world.daemon, `many-${i}`);
          return orGivenUp(runtime.RunPodSandbox({ config }, { signal: abort.signal }));
        }),
      );
      const ids = asked.flatMap((pod) => (pod === undefined ? [] : [pod.pod_sandbox_id]));
      t.diagnostic(`${ids.length} of 30 were made`);
      assert.ok(ids.length >= 15);
      const { items } = await runtime.ListPodSandbox({ filter: { state: { state: 'SANDBOX_READY' } } });
      const ready = new Set(items.map((pod) => pod.id));
      assert.ok(ids.every((id) => ready.has(id)));
      await until('late ones are gone', async () => (await removeOthers()) === 0);
    }),
  );

  it(
    'fields of a newer CRI are ignored, values of a newer enum too',
    clean(async () => {
      const session = rawSession(world.daemon.socket);
      try {
        // Field 15000: a varint; field 15001: five bytes.
        const unknown = Buffer.from([0xc0, 0xa9, 0x07, 0x07, 0xca, 0xa9, 0x07, 0x05, 1, 2, 3, 4, 5]);
        const { RunPodSandbox, ListContainers } = runtimeService;
        const { ImageStatus } = imageService;
        const list = frame(Buffer.concat([ListContainers.requestSerialize({}), unknown]));
        assert.equal((await rawCall(session, ListContainers.path, list)).status, '0');
        const image = frame(
          Buffer.concat([ImageStatus.requestSerialize({ image: { image: 'example.org/x:1' } }), unknown]),
        );
        assert.equal((await rawCall(session, ImageStatus.path, image)).status, '0');
        const config = podConfig(world.daemon, 'newer', {
          port_mappings: [{ protocol: 77 as never, container_port: 80 }],
        });
        const run = frame(Buffer.concat([RunPodSandbox.requestSerialize({ config }), unknown]));
        assert.equal((await rawCall(session, RunPodSandbox.path, run)).status, '0');
      } finally {
        session.destroy();
      }
      await removeOthers();
    }),
  );

  it(
    'a request past 16 MiB is resource_exhausted, and the connection goes on',
    clean(async () => {
      const annotations = { big: 'x'.repeat(17 * 1024 * 1024) };
      const config = podConfig(world.daemon, 'huge', { annotations });
      await refused(
        world.daemon.cri.runtime.RunPodSandbox({ config }),
        'resource_exhausted',
        /larger than max/,
      );
      assert.equal((await world.daemon.cri.runtime.Version({})).version, '0.1.0');
    }),
  );

  it(
    'garbage on the socket ends its own connection; calls of others go on',
    clean(async () => {
      const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
      const garbage = [
        Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
        randomBytes(65_536),
        Buffer.concat([preface, randomBytes(65_536)]),
        Buffer.concat([preface, Buffer.alloc(1024 * 1024)]),
      ];
      let over = false;
      const noise = (async () => {
        for (let i = 0; !over; i++) {
          const socket = await rawConnection(world.daemon.socket);
          socket.write(garbage[i % garbage.length] ?? '');
          await sleep(10);
          socket.destroy();
        }
      })();
      const silent = await Promise.all(Array.from({ length: 50 }, () => rawConnection(world.daemon.socket)));
      try {
        await world.pull();
        for (let i = 0; i < 3; i++) {
          const { pod, container } = await world.runPod(`noise-${i}`, ['sleep', '1000']);
          const { exit_code } = await world.daemon.cri.runtime.ExecSync({
            container_id: container,
            cmd: ['true'],
          });
          assert.equal(exit_code, 0);
          await world.removePod(pod);
        }
      } finally {
        over = true;
        await noise;
        for (const socket of silent) socket.destroy();
      }
    }),
  );

  it(
    'no call of CRI, given nothing at all, does harm',
    clean(async () => {
      const client = world.daemon.cri;
      const calls = Object.entries({ ...client.runtime, ...client.images }).filter(
        ([name]) => !name.startsWith('Stream') && name !== 'GetContainerEvents',
      );
      for (const [name, call] of calls) {
        const outcome = await (call as (request: object) => Promise<object>)({}).catch((cause) => cause);
        if (!(outcome instanceof SkiffError)) continue;
        assert.ok(
          ['invalid_argument', 'unimplemented'].includes(outcome.code),
          `${name}: ${outcome.message}`,
        );
      }
      assert.equal((await client.runtime.Version({})).version, '0.1.0');
    }),
  );

  it(
    'PullImage that is given up at any instant keeps no part of the image',
    clean(async (t) => {
      const random = seededRandom(SEED);
      t.diagnostic(`seed ${SEED} (SKIFF_SEED=${SEED} makes the same instants again)`);
      const { images } = world.daemon.cri;
      const other = `${world.registry.host}/busybox@${world.digest}`;
      await images.RemoveImage({ image: { image: world.image } });
      for (let round = 0; round < 20; round++) {
        const timeoutMs = 1 + Math.floor(random() * 200);
        const image = { image: round % 2 === 0 ? world.image : other };
        const pulled = await orGivenUp(images.PullImage({ image }, { timeoutMs }));
        if (pulled === undefined) {
          // Done in the instant in which its caller gave up: then it is whole.
          const { image: there } = await images.ImageStatus({ image });
          if (there !== null) assert.ok(BigInt(there.size) > 0n);
        }
        await images.RemoveImage({ image });
      }
      assert.deepEqual((await images.ListImages({})).images, []);
    }),
  );
});
