import { isCode, messageOf, SkiffError } from '../base/errors.ts';
import type { CriClient } from '../cri/client.ts';
import { openCommand } from '../streaming/client.ts';
import type { Daemon } from './daemon.ts';
import { findContainer, inventory } from './names.ts';
import { note } from './output.ts';
import { runSession } from './session.ts';

const EXIT_OURS = 125;
const EXIT_NOT_FOUND = 127;
/** As timeout(1). */
const EXIT_TIMED_OUT = 124;

export interface ExecOptions {
  interactive: boolean;
  tty: boolean;
  /** Seconds, 0 = none. */
  timeout: number;
}

/** `skiff exec CONTAINER CMD`: its streams are the caller's; its exit code. */
export async function exec(
  daemon: Daemon,
  name: string,
  cmd: string[],
  options: ExecOptions,
): Promise<number> {
  try {
    return await daemon.withCri(async (cri) => {
      const { id } = findContainer(await inventory(cri), name);
      return options.timeout > 0
        ? await execSync(cri, id, cmd, options)
        : await stream(cri, id, cmd, options);
    });
  } catch (cause) {
    const message = messageOf(cause);
    note(`skiff: ${message}`);
    if (isCode(cause, 'deadline_exceeded')) return EXIT_TIMED_OUT;
    return /executable file .*not found|exec.*: no such file/.test(message) ? EXIT_NOT_FOUND : EXIT_OURS;
  }
}

async function stream(cri: CriClient, id: string, cmd: string[], options: ExecOptions): Promise<number> {
  const { tty, interactive: stdin } = options;
  const wanted = { tty, stdin, stdout: true, stderr: !tty };
  const { url } = await cri.runtime.Exec({ container_id: id, cmd, ...wanted });
  const outcome = await runSession(await openCommand(url, wanted), { tty });
  if ('error' in outcome) throw new SkiffError('unknown', outcome.error);
  return outcome.exitCode;
}

/** Only ExecSync ends a command in time. */
async function execSync(cri: CriClient, id: string, cmd: string[], options: ExecOptions): Promise<number> {
  const { timeout, interactive, tty } = options;
  if (interactive || tty) throw new SkiffError('invalid_argument', '--timeout: not together with -i and -t');
  const reply = await cri.runtime.ExecSync({ container_id: id, cmd, timeout });
  process.stdout.write(reply.stdout);
  process.stderr.write(reply.stderr);
  return reply.exit_code;
}
