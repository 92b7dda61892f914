/**
 * What the lab's tests share: one registry and one daemon on a machine with every controller, under the driver that fits
 * the machine's init. Run by scripts/lab/tests.sh, all files in one process, so that both start once.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ContainerConfig } from '../../src/cri/gen/runtime/v1/ContainerConfig.ts';
import type { ContainerStatus__Output } from '../../src/cri/gen/runtime/v1/ContainerStatus.ts';
import type { PodSandboxConfig } from '../../src/cri/gen/runtime/v1/PodSandboxConfig.ts';
import { TestDaemon } from '../harness/daemon.ts';
import { containerConfig, podConfig } from '../harness/pods.ts';
import { busyboxImage, TestRegistry } from '../harness/registry.ts';

export const CGROUPS = '/sys/fs/cgroup';
export const DRIVER = process.env.LAB_INIT === 'systemd' ? 'systemd' : 'cgroupfs';
/** Every low-level runtime that a node has; each must give the same limits. */
export const RUNTIMES = ['runc', 'crun'] as const;

let registry: TestRegistry;
let daemon: TestDaemon;
let image: string;

before(async () => {
  const layouts = await mkdtemp(join(tmpdir(), 'sk-image-'));
  registry = await TestRegistry.start();
  await registry.push(await busyboxImage(layouts), 'busybox:1');
  await rm(layouts, { recursive: true });
  image = `${registry.host}/busybox:1`;
  daemon = await TestDaemon.start({ cgroupDriver: DRIVER, tolerateMissingControllers: false });
  await daemon.cri.images.PullImage({ image: { image } });
});

after(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await registry?.stop();
});

export function theDaemon(): TestDaemon {
  return daemon;
}

let pods = 0;

/** A pod for the containers of one test; it goes with all that is in it when the test ends. */
export class Pod {
  readonly id: string;
  readonly #config: PodSandboxConfig;

  private constructor(id: string, config: PodSandboxConfig) {
    this.id = id;
    this.#config = config;
  }

  static async run(changes: Partial<PodSandboxConfig> = {}, runtimeHandler = 'runc'): Promise<Pod> {
    pods += 1;
    const config = podConfig(daemon, `pod${pods}`, {
      hostname: '',
      ...changes,
      // The node's network: CNI plugins have nothing to do with limits, and take most of a pod's start here.
      linux: {
        security_context: { namespace_options: { network: 'NODE', pid: 'CONTAINER' } },
        ...changes.linux,
      },
    });
    const { pod_sandbox_id } = await daemon.cri.runtime.RunPodSandbox({
      config,
      runtime_handler: runtimeHandler,
    });
    return new Pod(pod_sandbox_id, config);
  }

  /** A created container; `command` is run by a shell. */
  async create(command: string, changes: Partial<ContainerConfig> = {}): Promise<Container> {
    pods += 1;
    const config = containerConfig(`one${pods}`, image, ['/bin/sh', '-c', command], {
      ...changes,
      linux: {
        security_context: { namespace_options: { network: 'NODE', pid: 'CONTAINER' } },
        ...changes.linux,
      },
    });
    const { container_id } = await daemon.cri.runtime.CreateContainer({
      pod_sandbox_id: this.id,
      config,
      sandbox_config: this.#config,
    });
    return new Container(container_id);
  }

  async start(command: string, changes: Partial<ContainerConfig> = {}): Promise<Container> {
    const container = await this.create(command, changes);
    await container.start();
    return container;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await daemon.cri.runtime.StopPodSandbox({ pod_sandbox_id: this.id });
    await daemon.cri.runtime.RemovePodSandbox({ pod_sandbox_id: this.id });
  }
}

export class Container {
  readonly id: string;

  constructor(id: string) {
    this.id = id;
  }

  async start(): Promise<void> {
    await daemon.cri.runtime.StartContainer({ container_id: this.id });
  }

  async status(): Promise<ContainerStatus__Output> {
    const { status } = await daemon.cri.runtime.ContainerStatus({ container_id: this.id });
    assert.ok(status);
    return status;
  }

  /** The status once the container has ended. */
  async ended(): Promise<ContainerStatus__Output> {
    for (let tries = 0; tries < 200; tries++) {
      const status = await this.status();
      if (status.state === 'CONTAINER_EXITED') return status;
      await sleep(100);
    }
    throw new Error(`container ${this.id} goes on running`);
  }

  async pid(): Promise<number> {
    const { info } = await daemon.cri.runtime.ContainerStatus({ container_id: this.id, verbose: true });
    return (JSON.parse(info.info ?? '{}') as { pid: number }).pid;
  }

  /** Its cgroup as the kernel tells it of its process, a path from the root of cgroup v2. */
  async cgroup(): Promise<string> {
    const text = await readFile(`/proc/${await this.pid()}/cgroup`, 'utf8');
    const path = /^0::(.*)$/m.exec(text)?.[1];
    assert.ok(path, text);
    return path;
  }

  /** One of its cgroup's files, without the last newline. */
  async read(file: string): Promise<string> {
    return (await readFile(join(CGROUPS, await this.cgroup(), file), 'utf8')).trimEnd();
  }

  /** Several of them by name. */
  async readAll(files: string[]): Promise<Record<string, string>> {
    const cgroup = join(CGROUPS, await this.cgroup());
    const texts = await Promise.all(files.map((file) => readFile(join(cgroup, file), 'utf8')));
    return Object.fromEntries(files.map((file, i) => [file, texts[i]?.trimEnd() ?? '']));
  }
}

/** Lines `key value` of a cgroup file. */
export function keyed(text: string): Map<string, number> {
  return new Map(
    text.split('\n').map((line) => {
      const [key = '', value = ''] = line.split(' ');
      return [key, Number(value)];
    }),
  );
}
