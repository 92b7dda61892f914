import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, SkiffError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { LinuxResources, RuntimeFeatures } from '../oci/runtime-spec.ts';
import { type RunResult, run } from './process.ts';

/** How long a command of the runtime may take that starts nothing: longer means that it hangs. */
const COMMAND_TIMEOUT_MS = 60_000;

/** `root` is where the runtime keeps its state, a directory per container. */
export interface OciRuntimeOptions {
  name: string;
  path: string;
  root: string;
  systemdCgroup: boolean;
}

/** One configured OCI runtime, runc or crun, by its command line (runc(8), crun(1)). */
export class OciRuntime {
  readonly name: string;
  readonly path: string;
  readonly root: string;
  readonly #systemdCgroup: boolean;
  readonly #log: Log;
  #features: Promise<RuntimeFeatures> | undefined;

  constructor(options: OciRuntimeOptions, deps: { log: Log }) {
    this.name = options.name;
    this.path = options.path;
    this.root = options.root;
    this.#systemdCgroup = options.systemdCgroup;
    this.#log = deps.log;
  }

  /** The arguments before the command: where the state lies and who makes cgroups. The shim takes them too. */
  globalArgs(): string[] {
    return ['--root', this.root, ...(this.#systemdCgroup ? ['--systemd-cgroup'] : [])];
  }

  /**
   * What the runtime can do, asked once. A runtime that has no `features` command answers an empty object, and so
   * does one that is not installed: that is told when a container wants it.
   */
  async features(): Promise<RuntimeFeatures> {
    this.#features ??= this.#askFeatures();
    try {
      return await this.#features;
    } catch (cause) {
      this.#features = undefined;
      this.#log.warn({ runtime: this.name, err: cause }, 'the runtime cannot be asked for its features');
      return {};
    }
  }

  /**
   * Frees what the runtime keeps of a container; none there is fine. `force` also ends one that still runs. A plain
   * delete comes first, because `delete --force` of runc waits 100 ms even for a container that has ended.
   */
  async delete(id: string, options: { force: boolean }): Promise<void> {
    if (!(await this.#knows(id))) return;
    const plain = await this.#run(['delete', id]);
    if (plain.code === 0) return;
    const forced = options.force && (await this.#knows(id));
    const last = forced ? await this.#run(['delete', '--force', id]) : plain;
    if (last.code !== 0 && (await this.#knows(id))) throw this.#failure(`delete container ${id}`, last);
  }

  /** Sets the limits that `resources` names on a running container. */
  async update(id: string, resources: LinuxResources): Promise<void> {
    const result = await this.#run(['update', '--resources', '-', id], JSON.stringify(resources));
    if (result.code !== 0) throw this.#failure(`update resources of container ${id}`, result);
  }

  /**
   * The whole command line that runs the OCI process in `processFile` in a container. What the runtime itself has to
   * say goes to `logFile`, as `errorInLog` reads it: stdout and stderr are the process's own. With `detach` it ends
   * once the process runs and `pidFile` names it; else it stays, passes streams and signals on, and ends as it did.
   */
  execCommand(exec: {
    id: string;
    processFile: string;
    logFile: string;
    pidFile: string;
    detach: boolean;
    tty: boolean;
  }): string[] {
    return [
      this.path,
      ...this.globalArgs(),
      ...['--log', exec.logFile, '--log-format', 'json', 'exec', '--process', exec.processFile],
      ...['--pid-file', exec.pidFile],
      ...(exec.detach ? ['--detach'] : []),
      ...(exec.tty ? ['--tty'] : []),
      exec.id,
    ];
  }

  async #askFeatures(): Promise<RuntimeFeatures> {
    const result = await this.#run(['features']);
    return result.code === 0 ? (JSON.parse(result.stdout.toString('utf8')) as RuntimeFeatures) : {};
  }

  /** Both runtimes keep a directory per container, from the first moment of `create` to the last of `delete`. */
  async #knows(id: string): Promise<boolean> {
    try {
      await access(join(this.root, id));
      return true;
    } catch (cause) {
      if (errnoOf(cause) === 'ENOENT' || errnoOf(cause) === 'ENOTDIR') return false;
      throw cause;
    }
  }

  async #run(args: string[], stdin?: string): Promise<RunResult> {
    try {
      return await run(this.path, [...this.globalArgs(), '--log-format', 'json', ...args], {
        stdin,
        timeoutMs: COMMAND_TIMEOUT_MS,
      });
    } catch (cause) {
      const advice = `install it or set path under [runtimes.${this.name}]`;
      throw SkiffError.from(
        cause,
        `run the OCI runtime ${this.name} (${advice})`,
        errnoOf(cause) === 'ENOENT' ? 'failed_precondition' : 'internal',
      );
    }
  }

  #failure(action: string, result: RunResult): SkiffError {
    if (result.timedOut)
      return new SkiffError('deadline_exceeded', `${action}: ${this.name} hung and was killed`);
    const said = errorInLog(result.stderr.toString('utf8')) ?? result.stderr.toString('utf8').trim();
    return new SkiffError('internal', `${action}: ${this.name}: ${said || `ended with ${result.code}`}`);
  }
}

/** The last error in a runtime's log of JSON lines (`--log-format json`), undefined where there is none. */
export function errorInLog(text: string): string | undefined {
  return text
    .split('\n')
    .map(parseLine)
    .findLast((entry) => entry?.level === 'error' || entry?.level === 'fatal')?.msg;
}

function parseLine(line: string): { level?: string; msg?: string } | undefined {
  try {
    const entry: unknown = JSON.parse(line);
    return typeof entry === 'object' && entry !== null ? entry : undefined;
  } catch {
    return undefined;
  }
}
