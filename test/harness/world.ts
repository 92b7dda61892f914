import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ContainerConfig } from '../../src/cri/gen/runtime/v1/ContainerConfig.ts';
import type { PodSandboxConfig } from '../../src/cri/gen/runtime/v1/PodSandboxConfig.ts';
import { type DaemonOptions, TestDaemon } from './daemon.ts';
import { containerConfig, podConfig } from './pods.ts';
import { busyboxImage, TestRegistry } from './registry.ts';

export interface RunningPod {
  pod: string;
  container: string;
  /** Absolute path of the container's log. */
  log: string;
}

/** A daemon and a registry that holds one busybox image. Ends both when disposed of. */
export class World {
  readonly daemon: TestDaemon;
  readonly registry: TestRegistry;
  /** Reference by tag, and the digest of the manifest. */
  readonly image: string;
  readonly digest: string;

  private constructor(daemon: TestDaemon, registry: TestRegistry, image: string, digest: string) {
    this.daemon = daemon;
    this.registry = registry;
    this.image = image;
    this.digest = digest;
  }

  static async start(options: DaemonOptions = {}): Promise<World> {
    const layouts = await mkdtemp(join(tmpdir(), 'sk-image-'));
    const registry = await TestRegistry.start();
    try {
      const digest = await registry.push(await busyboxImage(layouts), 'busybox:1');
      const daemon = await TestDaemon.start(options);
      return new World(daemon, registry, `${registry.host}/busybox:1`, digest);
    } catch (cause) {
      await registry.stop();
      throw cause;
    } finally {
      await rm(layouts, { recursive: true });
    }
  }

  /** PullImage of the world's image; its id. */
  async pull(): Promise<string> {
    const { image_ref } = await this.daemon.cri.images.PullImage({ image: { image: this.image } });
    return image_ref;
  }

  /** A running pod of one container; the image must be there. */
  async runPod(
    name: string,
    command: string[],
    changes: { pod?: Partial<PodSandboxConfig>; container?: Partial<ContainerConfig> } = {},
  ): Promise<RunningPod> {
    const { runtime } = this.daemon.cri;
    const config = podConfig(this.daemon, name, changes.pod);
    const { pod_sandbox_id: pod } = await runtime.RunPodSandbox({ config });
    const { container_id: container } = await runtime.CreateContainer({
      pod_sandbox_id: pod,
      config: containerConfig(name, this.image, command, changes.container),
      sandbox_config: config,
    });
    await runtime.StartContainer({ container_id: container });
    return { pod, container, log: join(config.log_directory ?? '', `${name}.log`) };
  }

  /** StopPodSandbox and RemovePodSandbox. */
  async removePod(pod: string): Promise<void> {
    const { runtime } = this.daemon.cri;
    await runtime.StopPodSandbox({ pod_sandbox_id: pod });
    await runtime.RemovePodSandbox({ pod_sandbox_id: pod });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.daemon[Symbol.asyncDispose]();
    await this.registry.stop();
  }
}
