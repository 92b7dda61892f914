import { isCode, messageOf } from '../base/errors.ts';
import type { Daemon } from './daemon.ts';
import { findContainer, inventory } from './names.ts';
import { note } from './output.ts';

const EXIT_OURS = 125;
const EXIT_NOT_FOUND = 127;
/** As timeout(1). */
const EXIT_TIMED_OUT = 124;

/** `skiff exec CONTAINER CMD`: output when the command has ended, and its exit code. */
export async function exec(
  daemon: Daemon,
  name: string,
  cmd: string[],
  options: { timeout: number },
): Promise<number> {
  try {
    return await daemon.withCri(async (cri) => {
      const { id } = findContainer(await inventory(cri), name);
      const reply = await cri.runtime.ExecSync({ container_id: id, cmd, timeout: options.timeout });
      process.stdout.write(reply.stdout);
      process.stderr.write(reply.stderr);
      return reply.exit_code;
    });
  } catch (cause) {
    const message = messageOf(cause);
    note(`skiff: ${message}`);
    if (isCode(cause, 'deadline_exceeded')) return EXIT_TIMED_OUT;
    return /executable file .*not found|exec.*: no such file/.test(message) ? EXIT_NOT_FOUND : EXIT_OURS;
  }
}
