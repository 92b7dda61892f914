import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SkiffError } from '../base/errors.ts';
import { makeDirectory, readFileIfThere } from '../base/files.ts';
import { newId } from '../base/id.ts';
import type { Process } from '../oci/runtime-spec.ts';
import { native } from '../os/native.ts';
import { errorInLog } from '../os/oci-runtime.ts';

/** The files of one exec, in a directory of its own that is named on the command line of all that belongs to it. */
export interface ExecFiles {
  processFile: string;
  logFile: string;
  /** There once the process runs. */
  pidFile: string;
}

/** Below it are the files of the execs in a container, one directory for each. */
export function execDirectory(stateDir: string, containerId: string): string {
  return join(stateDir, 'containers', containerId, 'exec');
}

/** Writes the files of an exec, which are gone when `work` has ended. */
export async function withExecFiles<T>(
  options: { stateDir: string; containerId: string; process: Process },
  work: (files: ExecFiles) => Promise<T>,
): Promise<T> {
  const directory = join(execDirectory(options.stateDir, options.containerId), newId().slice(0, 16));
  const files = {
    processFile: join(directory, 'process.json'),
    logFile: join(directory, 'log'),
    pidFile: join(directory, 'pid'),
  };
  try {
    await makeDirectory(directory, 0o700);
    await writeFile(files.processFile, JSON.stringify(options.process), { mode: 0o600 });
    return await work(files);
  } catch (cause) {
    throw SkiffError.from(cause, `exec in container ${options.containerId}`);
  } finally {
    await native().removeTree(directory);
  }
}

/**
 * The exit code of an exec that ended with `code` (null = by a signal). Rejects where the runtime could not start the
 * process, with its own words from the log, else `said`. The peers answer UNKNOWN then, and the kubelet shows the text.
 */
export async function execExitCode(files: ExecFiles, code: number | null, said: string): Promise<number> {
  const started = (await readFileIfThere(files.pidFile)) !== undefined;
  if (started && code !== null) return code;
  const logged = errorInLog((await readFileIfThere(files.logFile)) ?? '');
  throw new SkiffError('unknown', logged ?? (said || `the command was not started (${code ?? 'killed'})`));
}
