import { readdir, readFile } from 'node:fs/promises';
import { SkiffError } from '../base/errors.ts';
import { namesIn } from '../base/files.ts';
import type { Log } from '../base/log.ts';
import type { ContainerRow } from '../container/types.ts';
import type { Process } from '../oci/runtime-spec.ts';
import { native } from '../os/native.ts';
import type { OciRuntime } from '../os/oci-runtime.ts';
import { artefact } from '../os/paths.ts';
import { type RunResult, run } from '../os/process.ts';
import type { ExecResult } from './api.ts';
import { type ExecFiles, execDirectory, execExitCode, withExecFiles } from './exec-files.ts';

/**
 * ExecSync: a command in a running container, to its end. `skiff-exec` is the
 * parent of the process and names a directory of ours on its command line,
 * `<stateDir>/containers/<id>/exec/...`: so a later daemon finds what an
 * earlier one left.
 */
export class ExecSync {
  readonly #stateDir: string;
  readonly #runtimes: (handler: string) => OciRuntime;
  readonly #log: Log;

  /** `stateDir` is the run directory, /run/skiff. */
  constructor(options: { stateDir: string }, deps: { runtimes: (handler: string) => OciRuntime; log: Log }) {
    this.#stateDir = options.stateDir;
    this.#runtimes = deps.runtimes;
    this.#log = deps.log;
  }

  /**
   * Any exit code is a result. 16 MiB of each stream are kept. `deadline_exceeded` after `timeoutSeconds` (0 = none),
   * with the process and all that it started dead; `unknown` with the runtime's own words where it could not start it.
   * A child that goes on in the background and holds the streams delays the answer by 1 s at most.
   */
  async run(
    container: ContainerRow,
    process: Process,
    timeoutSeconds: number,
    signal: AbortSignal,
  ): Promise<ExecResult> {
    const runtime = this.#runtimes(container.runtimeHandler);
    const options = { stateDir: this.#stateDir, containerId: container.id, process };
    return withExecFiles(options, async (files) => {
      const command = runtime.execCommand({ id: container.id, ...files, detach: true, tty: false });
      const result = await run(artefact('skiff-exec'), [files.pidFile, ...command], {
        timeoutMs: timeoutSeconds * 1000,
        signal,
        // As the parent of what runs in the container it is what `sweep` finds the rest by.
        outlives: true,
      });
      return resultOf(result, files, timeoutSeconds);
    });
  }

  /** Kills what an earlier daemon was running in a container: nobody waits for it any more. */
  async sweep(containerId: string): Promise<void> {
    const directory = execDirectory(this.#stateDir, containerId);
    const left = await namesIn(directory);
    if (left.length === 0) return;
    for (const pid of await processesNaming(`${directory}/`)) {
      const killed = await native().killTree(pid);
      this.#log.info({ id: containerId, pid, killed }, 'killed an exec of an earlier daemon');
    }
    await native().removeTree(directory);
  }
}

async function resultOf(result: RunResult, files: ExecFiles, timeoutSeconds: number): Promise<ExecResult> {
  if (result.timedOut)
    throw new SkiffError(
      'deadline_exceeded',
      `the command did not end within ${timeoutSeconds} s and was killed`,
    );
  const exitCode = await execExitCode(files, result.code, result.stderr.toString('utf8').trim());
  return { stdout: result.stdout, stderr: result.stderr, exitCode };
}

/** Processes with an argument that begins with `prefix`. */
async function processesNaming(prefix: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found: number[] = [];
  for (const pid of pids) {
    // A process may end while it is looked at.
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (line.split('\0').some((argument) => argument.startsWith(prefix))) found.push(Number(pid));
  }
  return found;
}
