import { randomBytes, randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../base/errors.ts';
import type { CriClient } from '../cri/client.ts';
import type { Pod, PodConfig } from './cri-types.ts';
import type { Daemon } from './daemon.ts';
import { note } from './output.ts';
import { LOG_FILE, podOf, RUN_LABEL, type RunOptions } from './run-spec.ts';

/** The pod of one `skiff run`, and the directory of its log, which the daemon knows only as a path. */
export class RunPod {
  readonly name: string;
  readonly config: PodConfig;
  readonly #logDirectory: string;
  #id = '';

  /** `root` is the daemon's directory of what is kept. */
  constructor(options: RunOptions, root: string) {
    const uid = randomUUID();
    this.name = options.name === '' ? `run-${randomBytes(4).toString('hex')}` : options.name;
    this.#logDirectory = logDirectory(root, uid);
    this.config = podOf(options, this.name, uid, this.#logDirectory);
  }

  get logPath(): string {
    return join(this.#logDirectory, LOG_FILE);
  }

  async start(cri: CriClient, runtimeHandler: string, signal: AbortSignal): Promise<string> {
    await mkdir(this.#logDirectory, { recursive: true, mode: 0o755 });
    const request = { config: this.config, runtime_handler: runtimeHandler };
    const { pod_sandbox_id } = await cri.runtime.RunPodSandbox(request, { signal });
    this.#id = pod_sandbox_id;
    return pod_sandbox_id;
  }

  /** Says so where it fails: what the command itself did is told all the same. */
  async remove(cri: CriClient): Promise<void> {
    try {
      if (this.#id !== '') await removePod(cri, this.#id);
      await rm(this.#logDirectory, { recursive: true, force: true });
    } catch (cause) {
      note(`skiff: pod ${this.name} is not removed: ${messageOf(cause)}; try "skiff rm -f ${this.name}"`);
    }
  }
}

/** Stops and removes a pod with all its containers. */
export async function removePod(cri: CriClient, id: string): Promise<void> {
  await cri.runtime.StopPodSandbox({ pod_sandbox_id: id });
  await cri.runtime.RemovePodSandbox({ pod_sandbox_id: id });
}

/** Removes the log of a pod that `skiff run` made; others' logs belong to whoever made the pod. */
export async function removeRunLog(daemon: Daemon, pod: Pod): Promise<void> {
  const uid = pod.labels[RUN_LABEL];
  if (uid === undefined || uid !== pod.metadata?.uid) return;
  await rm(logDirectory(await rootDirectory(daemon), uid), { recursive: true, force: true });
}

export async function rootDirectory(daemon: Daemon): Promise<string> {
  const { root } = (await daemon.ops().get('/config')) as { root: string };
  return root;
}

function logDirectory(root: string, uid: string): string {
  return join(root, 'logs', uid);
}
