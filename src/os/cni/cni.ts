import { setTimeout } from 'node:timers/promises';
import { messageOf, SkiffError } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import type { CniNetworkList } from '../../oci/cni-spec.ts';
import type { SandboxNetwork } from '../../sandbox/types.ts';
import { type Attached, attachmentsOf, interfaceName, isNamespace, networkOf } from './attachment.ts';
import { type LoadedNetwork, loadNetworks } from './config.ts';
import { PluginRunner } from './exec.ts';
import { Gate } from './gate.ts';
import {
  type Attachment,
  addList,
  checkList,
  deleteList,
  gcList,
  negotiate,
  undoList,
  type ValidAttachment,
} from './list.ts';
import { StatusProbe } from './probe.ts';
import type { CniRequest } from './request.ts';
import { writeFromTemplate } from './template.ts';
import { DirectoryWatch } from './watch.ts';

/** How long loading waits for the plugins' first word, so that a node does not start as not ready. */
const FIRST_ANSWER_MS = 2000;

export interface CniOptions {
  confDir: string;
  /** Searched in order, and handed to the plugins as CNI_PATH. */
  binDirs: string[];
  /** Networks that a pod gets, 0 = all that are configured. */
  maxConfNum: number;
  /** For one call of one plugin. */
  timeoutMs?: number;
  /** Template for the configuration that UpdateRuntimeConfig writes, '' = none. */
  confTemplate?: string;
}

export interface CniStatus {
  ready: boolean;
  reason: string;
  message: string;
}

/** An ADD that failed and could not be undone: the network may hold an address for the pod, and DEL is due. */
class LeftAttachedError extends SkiffError {}

/** True where a failed `add` left something behind. */
export function leftAttached(cause: unknown): boolean {
  if (cause instanceof LeftAttachedError) return true;
  return cause instanceof Error && cause.cause !== undefined && leftAttached(cause.cause);
}

/**
 * Attaches pods to the networks that the administrator configured, with the
 * real plugins. The configuration is read again whenever it changes; a pod
 * keeps the one that it was added with, since SandboxNetwork holds it.
 */
export class Cni {
  readonly #options: CniOptions;
  readonly #log: Log;
  readonly #runner: PluginRunner;
  readonly #watch: DirectoryWatch;
  readonly #probe: StatusProbe;
  readonly #gate = new Gate();
  #networks: LoadedNetwork[] = [];
  #loadError: SkiffError | undefined = new SkiffError('unavailable', 'CNI configuration not read yet');
  #loading: Promise<void> = Promise.resolve();

  constructor(options: CniOptions, deps: { log: Log }) {
    this.#options = options;
    this.#log = deps.log;
    this.#runner = new PluginRunner(
      { binDirs: options.binDirs, timeoutMs: options.timeoutMs ?? 60_000 },
      deps,
    );
    this.#probe = new StatusProbe(this.#runner);
    this.#watch = new DirectoryWatch(
      { directory: options.confDir },
      { changed: () => void this.reload(), log: deps.log },
    );
  }

  /** Reads the configuration and follows its changes until `stop`. A missing or broken one is told by `status`. */
  async start(): Promise<void> {
    await this.#watch.start();
    await this.reload();
  }

  stop(): void {
    this.#watch.stop();
  }

  /** Reads the configuration now; never rejects. */
  reload(): Promise<void> {
    this.#loading = this.#loading.then(() => this.#load());
    return this.#loading;
  }

  /** Condition NetworkReady, from memory. */
  status(): CniStatus {
    const problem = this.#loadError ?? this.#probe.problem(this.#networks.map(({ list }) => list));
    if (problem === undefined) return { ready: true, reason: '', message: '' };
    return { ready: false, reason: 'NetworkPluginNotReady', message: problem.message };
  }

  /** Configuration in force, for the verbose Status. */
  info(): Record<string, unknown> {
    const { confDir, binDirs, maxConfNum } = this.#options;
    const lastLoadStatus = this.#loadError?.message ?? 'OK';
    return { confDir, binDirs, maxConfNum, networks: this.#networks, lastLoadStatus };
  }

  /**
   * Attaches the pod to each network, in order. Rejects with the error of the
   * plugin that failed, after DEL has undone what had been done; `leftAttached`
   * tells where that failed too.
   */
  async add(request: CniRequest, signal?: AbortSignal): Promise<SandboxNetwork> {
    if (this.#loadError !== undefined) throw this.#loadError;
    const networks = this.#networks;
    return this.#gate.share(async () => {
      const done: Attachment[] = [];
      try {
        for (const [i, { list }] of networks.entries())
          await this.#addOne(await negotiate(this.#runner, list, signal), i, request, done, signal);
        return networkOf(done);
      } catch (cause) {
        throw await this.#undo(done, SkiffError.from(cause));
      }
    });
  }

  /**
   * Detaches the pod; `network` is what `add` gave, null where that was lost
   * (then the present configuration is used). May be repeated; a namespace
   * that is gone is no obstacle.
   */
  async del(request: CniRequest, network: SandboxNetwork | null, signal?: AbortSignal): Promise<void> {
    const netns = (await isNamespace(request.netns)) ? request.netns : '';
    const used = network === null ? await this.#present(signal) : [network, ...network.more];
    const attachments = attachmentsOf({ ...request, netns }, used);
    if (attachments.length === 0)
      this.#log.warn({ id: request.id }, 'no CNI configuration to detach the pod by: nothing done');
    await this.#gate.share(async () => {
      for (const attachment of attachments.toReversed()) await deleteList(this.#runner, attachment, signal);
    });
  }

  /** Asks the plugins whether the pod's network is as ADD left it; rejects with what is wrong. */
  async check(request: CniRequest, network: SandboxNetwork): Promise<void> {
    for (const attachment of attachmentsOf(request, [network, ...network.more]))
      await checkList(this.#runner, attachment);
  }

  /** UpdateRuntimeConfig: writes a configuration for `podCidr` ("v4" or "v4,v6") where there is a template and no configuration. */
  async renderTemplate(podCidr: string): Promise<void> {
    const { confDir, confTemplate = '' } = this.#options;
    const cidrs = podCidr.split(',').filter((cidr) => cidr !== '');
    if (confTemplate === '' || cidrs.length === 0) return;
    const file = await writeFromTemplate(confDir, confTemplate, cidrs);
    if (file === null) return;
    this.#log.info({ file, podCidr }, 'cni configuration written');
    await this.reload();
  }

  /** Lets plugins of lists at 1.1.0 free what belongs to no pod of `valid`; failures are logged. */
  async gc(valid: ValidAttachment[]): Promise<void> {
    const networks = this.#networks;
    await this.#gate.exclude(async () => {
      for (const { list } of networks) {
        const negotiated = await negotiate(this.#runner, list).catch(() => list);
        for (const err of await gcList(this.#runner, negotiated, valid))
          this.#log.warn({ network: list.name, err }, 'cni gc failed');
      }
    });
  }

  async #load(): Promise<void> {
    const { confDir, maxConfNum } = this.#options;
    try {
      const networks = await loadNetworks(confDir, maxConfNum);
      if (networks.length === 0)
        throw new SkiffError(
          'unavailable',
          `no CNI configuration in ${confDir}: put a .conflist file there, or install a network add-on`,
        );
      this.#networks = networks;
      this.#loadError = undefined;
      this.#log.info({ files: networks.map(({ file }) => file) }, 'cni configuration loaded');
      await Promise.race([
        this.#probe.refresh(networks.map(({ list }) => list)),
        setTimeout(FIRST_ANSWER_MS, undefined, { ref: false }),
      ]);
    } catch (cause) {
      this.#loadError = SkiffError.from(cause);
      this.#log.warn({ err: this.#loadError }, 'cni configuration not usable');
    }
  }

  async #addOne(
    list: CniNetworkList,
    index: number,
    request: CniRequest,
    done: Attachment[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const attachment: Attachment = {
      list,
      request,
      ifName: interfaceName(request.ifName, index),
      result: null,
    };
    // A list that lacks a plugin could not be undone either, so it is not begun.
    for (const { type } of list.plugins) await this.#runner.find(type);
    // Noted before it is done: an ADD that fails half-way needs a DEL as well.
    done.push(attachment);
    await addList(this.#runner, attachment, signal);
  }

  /** The caller's signal is not passed on: what was aborted must be undone too. */
  async #undo(done: Attachment[], cause: SkiffError): Promise<SkiffError> {
    const failures: SkiffError[] = [];
    for (const attachment of done.toReversed()) failures.push(...(await undoList(this.#runner, attachment)));
    if (failures.length === 0) return cause;
    const left = failures.map(messageOf).join('; ');
    return new LeftAttachedError(cause.code, `${cause.message}; clean-up failed too: ${left}`, { cause });
  }

  /** What `add` would attach to now, for a pod of which nobody knows what it was attached to. */
  async #present(signal: AbortSignal | undefined): Promise<Attached[]> {
    const present: Attached[] = [];
    for (const { list } of this.#networks)
      present.push({ conflist: await negotiate(this.#runner, list, signal), result: null });
    return present;
  }
}
