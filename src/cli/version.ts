import { messageOf } from '../base/errors.ts';
import { VERSION } from '../base/version.ts';
import type { Daemon } from './daemon.ts';
import { print } from './output.ts';

/** `skiff version`: of this program and of the daemon, which may be another one after an upgrade. */
export async function version(daemon: Daemon): Promise<void> {
  print(`client  skiff ${VERSION} (Node ${process.version})`);
  try {
    const reply = (await daemon.ops().get('/version')) as { runtimeName: string; runtimeVersion: string };
    print(`daemon  ${reply.runtimeName} ${reply.runtimeVersion}`);
  } catch (cause) {
    print(`daemon  not reached: ${messageOf(cause)}`);
  }
}
