import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLog } from '../../../src/base/log.ts';
import type { ContainerRow } from '../../../src/container/types.ts';
import type { Process } from '../../../src/oci/runtime-spec.ts';
import { OciRuntime } from '../../../src/os/oci-runtime.ts';
import { run } from '../../../src/os/process.ts';

const APPLETS = ['sh', 'sleep', 'cat', 'echo', 'head', 'yes', 'id', 'setsid', 'pwd', 'dd'];
const CAPABILITIES = ['CAP_KILL', 'CAP_CHOWN'];

/** A running container of busybox under a real runtime, in a directory of its own. */
export interface BusyboxContainer {
  runtime: OciRuntime;
  /** As much of a row as ExecSync reads. */
  row: ContainerRow;
  stateDir: string;
  process(args: string[], change?: Partial<Process>): Process;
  remove(): Promise<void>;
}

/** Starts `sleep 3600` in a container. `program` is runc or crun; needs root and private namespaces. */
export async function startBusybox(program: string): Promise<BusyboxContainer> {
  const directory = await mkdtemp(join(tmpdir(), 'sk-'));
  const id = `busybox-${directory.slice(-6)}`;
  await writeBundle(directory);
  const runtime = new OciRuntime(
    { name: program, path: program, root: join(directory, 'runtime'), systemdCgroup: false },
    { log: silentLog() },
  );
  // To files: a pipe would stay open as long as the container.
  const script = `exec ${program} ${runtime.globalArgs().join(' ')} run --detach --bundle ${directory} ${id} >${directory}/log 2>&1`;
  const started = await run('sh', ['-c', script]);
  if (started.code !== 0) throw new Error((await run('cat', [`${directory}/log`])).stdout.toString());
  return {
    runtime,
    row: { id, runtimeHandler: program } as ContainerRow,
    stateDir: join(directory, 'state'),
    process: (args, change) => ({ ...baseProcess(args), ...change }),
    async remove() {
      await runtime.delete(id, { force: true });
      await rm(directory, { recursive: true });
    },
  };
}

async function writeBundle(directory: string): Promise<void> {
  const bin = join(directory, 'rootfs', 'bin');
  for (const name of ['bin', 'proc', 'dev', 'tmp'])
    await mkdir(join(directory, 'rootfs', name), { recursive: true });
  await copyFile('/bin/busybox', join(bin, 'busybox'));
  for (const applet of APPLETS) await symlink('busybox', join(bin, applet));
  const spec = {
    ociVersion: '1.0.2',
    process: baseProcess(['sleep', '3600']),
    root: { path: 'rootfs' },
    hostname: 'busybox',
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755'] },
    ],
    linux: { namespaces: ['pid', 'mount', 'ipc', 'uts'].map((type) => ({ type })) },
  };
  await writeFile(join(directory, 'config.json'), JSON.stringify(spec));
}

function baseProcess(args: string[]): Process {
  return {
    terminal: false,
    user: { uid: 0, gid: 0 },
    args,
    env: ['PATH=/bin', 'MARK=busybox'],
    cwd: '/',
    noNewPrivileges: true,
    capabilities: {
      bounding: CAPABILITIES,
      effective: CAPABILITIES,
      permitted: CAPABILITIES,
    },
  };
}
