import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../base/errors.ts';

/**
 * Small trials for `skiff doctor`. They use Node's own processes rather than
 * the addon, because a host on which the addon does not load is examined, too.
 */

const TIMEOUT_MS = 10_000;

export interface ProbeResult {
  /** null where the program could not be run or was killed. */
  code: number | null;
  stdout: string;
  /** Standard error, or why the program could not be run. */
  stderr: string;
}

/** Runs a program to its end, at most ten seconds. */
export function probeProgram(
  file: string,
  args: string[],
  options: { stdin?: string; env?: Record<string, string> } = {},
): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const settings = {
      timeout: TIMEOUT_MS,
      killSignal: 'SIGKILL',
      env: { ...process.env, ...options.env },
    } as const;
    const child = execFile(file, args, settings, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : null;
      resolve({ code, stdout, stderr: stderr !== '' || error === null ? stderr : messageOf(error) });
    });
    child.stdin?.on('error', () => {});
    child.stdin?.end(options.stdin ?? '');
  });
}

/**
 * Mounts an overlay in a mount namespace of its own, upper directory on the
 * file system of `directory`. Undefined where it works, else what mount(8) said.
 */
export async function probeOverlay(directory: string): Promise<string | undefined> {
  const trial = await mkdtemp(join(directory, '.doctor-'));
  try {
    const [lower, upper, work, merged] = ['lower', 'upper', 'work', 'merged'].map((name) =>
      join(trial, name),
    );
    for (const path of [lower, upper, work, merged]) await mkdir(path!);
    const options = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
    const mount = ['mount', '-t', 'overlay', 'overlay', '-o', options, merged!];
    const result = await probeProgram('unshare', ['--mount', '--propagation', 'private', '--', ...mount]);
    return result.code === 0 ? undefined : result.stderr.trim();
  } finally {
    await rm(trial, { recursive: true, force: true });
  }
}
