import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CriClient, createClient } from '../../src/cri/client.ts';
import { writeNetwork } from './cni.ts';

/** How long a daemon may take until it answers, in ms; machines of CI are slow, emulated ones slower. */
const START_TIMEOUT = 60_000;

export interface DaemonOptions {
  /** Default: what works in scripts/private.sh. */
  cgroupDriver?: 'cgroupfs' | 'systemd';
  /** Default: true, as scripts/private.sh has no controllers. */
  tolerateMissingControllers?: boolean;
  /** Further lines of the configuration, before its tables. */
  top?: string;
  /** Further tables of the configuration. */
  tables?: string;
  env?: Record<string, string>;
}

/**
 * A daemon of its own for a test: the built dist/skiff with root, state, sockets
 * and CNI configuration below one short directory (a socket's path has at most
 * 107 bytes). It can be killed and started again on what it left.
 */
export class TestDaemon {
  readonly directory: string;
  readonly #options: DaemonOptions;
  #child: ChildProcess | undefined;
  #cri: CriClient | undefined;

  private constructor(directory: string, options: DaemonOptions) {
    this.directory = directory;
    this.#options = options;
  }

  /** Makes the directory and its configuration, and starts a daemon on it. */
  static async start(options: DaemonOptions = {}): Promise<TestDaemon> {
    const daemon = await TestDaemon.prepare(options);
    await daemon.start();
    return daemon;
  }

  /** As `start`, without a running daemon. */
  static async prepare(options: DaemonOptions = {}): Promise<TestDaemon> {
    const daemon = new TestDaemon(await mkdtemp('/tmp/sk-'), options);
    await mkdir(daemon.logs);
    await writeNetwork(daemon.confDir);
    await writeFile(daemon.config, configuration(daemon, options));
    return daemon;
  }

  get root(): string {
    return join(this.directory, 'lib');
  }
  get state(): string {
    return join(this.directory, 'run');
  }
  get socket(): string {
    return join(this.state, 'skiff.sock');
  }
  get opsSocket(): string {
    return join(this.state, 'ops.sock');
  }
  get config(): string {
    return join(this.directory, 'config.toml');
  }
  get confDir(): string {
    return join(this.directory, 'net.d');
  }
  /** For the log directories of pods. */
  get logs(): string {
    return join(this.directory, 'logs');
  }
  /** The daemon's own log: JSON lines of all its lives. */
  get log(): string {
    return join(this.directory, 'daemon.log');
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error('the daemon does not run');
    return pid;
  }

  /** A client of the CRI socket, made anew after each start. */
  get cri(): CriClient {
    this.#cri ??= createClient(this.socket);
    return this.#cri;
  }

  /** Starts the daemon and waits until it answers Version. */
  async start(): Promise<void> {
    if (this.#child !== undefined) throw new Error('the daemon runs already');
    const log = await open(this.log, 'a');
    const child = spawn(PROGRAM, ['serve', '--config', this.config], {
      stdio: ['ignore', log.fd, log.fd],
      env: { ...process.env, ...this.#options.env },
    });
    await log.close();
    this.#child = child;
    try {
      await this.#ready(child);
    } catch (cause) {
      await this.kill();
      throw cause;
    }
  }

  /** SIGKILL: what the daemon was at stays as it is. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** SIGTERM, and waits for the clean end. The exit code. */
  async terminate(): Promise<number | null> {
    return this.#end('SIGTERM');
  }

  /** Removes all pods and images over CRI, as a test does that only wants to be rid of them. */
  async clear(): Promise<void> {
    const { runtime, images } = this.cri;
    for (const { id } of (await runtime.ListPodSandbox({})).items) {
      await runtime.StopPodSandbox({ pod_sandbox_id: id });
      await runtime.RemovePodSandbox({ pod_sandbox_id: id });
    }
    for (const { id } of (await images.ListImages({})).images)
      await images.RemoveImage({ image: { image: id } });
  }

  /** Ends the daemon and removes its directory; what still runs or is mounted below ends with private.sh. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.terminate();
    await rm(this.directory, { recursive: true, force: true }).catch(() => undefined);
  }

  /** The end of the daemon's log, for a failure's message. */
  async logTail(lines = 30): Promise<string> {
    const text = await readFile(this.log, 'utf8').catch(() => '');
    return text.trimEnd().split('\n').slice(-lines).join('\n');
  }

  async #ready(child: ChildProcess): Promise<void> {
    const deadline = Date.now() + START_TIMEOUT;
    for (;;) {
      const client = createClient(this.socket);
      try {
        await client.runtime.Version({}, { timeoutMs: 2000 });
        return;
      } catch (cause) {
        const ended = child.exitCode !== null || child.signalCode !== null;
        if (ended || Date.now() > deadline)
          throw new Error(
            `the daemon ${ended ? 'ended' : 'does not answer'}; its log:\n${await this.logTail()}`,
            {
              cause,
            },
          );
      } finally {
        client.close();
      }
      await sleep(20);
    }
  }

  async #end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child;
    this.#child = undefined;
    this.#cri?.close();
    this.#cri = undefined;
    if (child === undefined) return null;
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
    child.kill(signal);
    return exited;
  }
}

const PROGRAM = join(import.meta.dirname, '../../dist/skiff');

function configuration(daemon: TestDaemon, options: DaemonOptions): string {
  return `root = '${daemon.root}'
state = '${daemon.state}'
cgroup_driver = '${options.cgroupDriver ?? 'cgroupfs'}'
tolerate_missing_controllers = ${options.tolerateMissingControllers ?? true}
${options.top ?? ''}
[log]
level = 'debug'
[cni]
conf_dir = '${daemon.confDir}'
${options.tables ?? ''}
`;
}
