import { SkiffError } from '../base/errors.ts';
import { containerExit } from './container-exit.ts';
import { readLog } from './container-log.ts';
import type { Daemon } from './daemon.ts';
import { LogWriter } from './log-writer.ts';
import { findContainer, inventory } from './names.ts';

/** `skiff logs CONTAINER`: with -f until the container ends. */
export async function logs(
  daemon: Daemon,
  name: string,
  options: { follow: boolean; tail?: number; timestamps: boolean },
): Promise<void> {
  await daemon.withCri(async (cri) => {
    const { id } = findContainer(await inventory(cri), name);
    const { status } = await cri.runtime.ContainerStatus({ container_id: id });
    const path = status?.log_path ?? '';
    if (path === '')
      throw new SkiffError('failed_precondition', `container "${name}" was made without a log`);
    const ended = new AbortController();
    const following = options.follow && status?.state !== 'CONTAINER_EXITED';
    // A container that is removed has no status any more: its log has ended as well.
    if (following)
      containerExit(cri, id, ended.signal)
        .catch(() => {})
        .finally(() => ended.abort());
    const writer = new LogWriter({ timestamps: options.timestamps });
    const follow = following ? ended.signal : undefined;
    for await (const entry of readLog({ path, tail: options.tail, follow })) writer.write(entry);
  });
}
