import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, chown, copyFile, link, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLog } from '../../../src/base/log.ts';
import { resolveMounts } from '../../../src/container/mount-sources.ts';
import { buildSpec } from '../../../src/container/spec/build.ts';
import type { SpecInput } from '../../../src/container/spec/input.ts';
import { resolveUser } from '../../../src/container/user.ts';
import type { Process, RuntimeFeatures, Spec } from '../../../src/oci/runtime-spec.ts';
import { readHostFacts } from '../../../src/os/host-facts.ts';
import { OciRuntime } from '../../../src/os/oci-runtime.ts';
import { sandboxRow, specInput } from '../../unit/container/builders.ts';

/** The OCI runtimes that every test runs with: names or paths, separated by commas. */
export const RUNTIMES = (process.env.SKIFF_TEST_RUNTIMES ?? 'runc,crun').split(',');

const APPLETS =
  'sh ls cat id mount umount touch hostname grep stat sleep echo mknod unshare chroot readlink env pwd wc sed tty';

const PASSWD = `root:x:0:0:root:/root:/bin/sh
www:x:33:33:www:/var/www:/bin/sh
app:x:1000:1000:app:/home/app:/bin/sh
`;
const GROUP = `root:x:0:
www:x:33:
logs:x:50000:app,www
app:x:1000:
`;

export interface Output {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** A root file system of busybox, the files of a sandbox, and a place for bundles; all gone with `remove`. */
export class Lab {
  readonly dir: string;
  readonly rootfs: string;
  #count = 0;

  private constructor(dir: string) {
    this.dir = dir;
    this.rootfs = join(dir, 'rootfs');
  }

  static async make(): Promise<Lab> {
    const lab = new Lab(await mkdtemp(join(tmpdir(), 'sk-spec-')));
    await chmod(lab.dir, 0o755);
    await lab.#fillRootfs();
    await mkdir(join(lab.dir, 'sandbox/shm'), { recursive: true });
    for (const name of ['resolv.conf', 'hosts', 'hostname'])
      await writeFile(join(lab.dir, 'sandbox', name), `${name} of the sandbox\n`);
    return lab;
  }

  async remove(): Promise<void> {
    await rm(this.dir, { recursive: true, force: true });
  }

  /** A container spec as CreateContainer makes it; namespaces are new ones unless the sandbox says otherwise. */
  async spec(runtime: string, change: Partial<SpecInput> = {}): Promise<Spec> {
    const id = `skiff-spec-${process.pid}-${++this.#count}`;
    const input = specInput({
      sandbox: sandboxRow({ namespaces: { net: null, ipc: null, uts: null } }),
      sandboxFiles: {
        resolvConf: join(this.dir, 'sandbox/resolv.conf'),
        hosts: join(this.dir, 'sandbox/hosts'),
        hostname: join(this.dir, 'sandbox/hostname'),
        shm: join(this.dir, 'sandbox/shm'),
      },
      ...change,
      id,
      rootfs: this.rootfs,
      cgroupsPath: `/${id}`,
      host: await readHostFacts(),
      features: await featuresOf(runtime),
      tolerateMissingControllers: true,
    });
    const mounts = await resolveMounts(input.config.mounts, { reject: [] });
    const user = await resolveUser(this.rootfs, input.image.user, input.config.security);
    const { spec } = await buildSpec({ ...input, user, config: { ...input.config, mounts } });
    return spec;
  }

  /** Runs `spec` to its end with a shell script as its command. */
  async run(runtime: string, spec: Spec, script: string): Promise<Output> {
    const container = await this.start(runtime, {
      ...spec,
      process: { ...spec.process, args: ['sh', '-c', script] },
    });
    return container.ended;
  }

  /** Starts `spec`; `exec` and `remove` work while it runs. */
  async start(runtime: string, spec: Spec): Promise<Container> {
    const id = `t${process.pid}-${++this.#count}`;
    const bundle = join(this.dir, id);
    await mkdir(bundle);
    await writeFile(join(bundle, 'config.json'), JSON.stringify(spec));
    return new Container(runtime, join(this.dir, `state-${id}`), bundle, id);
  }

  async #fillRootfs(): Promise<void> {
    for (const dir of ['bin', 'etc', 'tmp', 'root', 'proc', 'dev', 'sys', 'var'])
      await mkdir(join(this.rootfs, dir), { recursive: true });
    await chmod(join(this.rootfs, 'tmp'), 0o1777);
    const busybox = join(this.rootfs, 'bin/busybox');
    await copyFile('/bin/busybox', busybox);
    for (const applet of APPLETS.split(' ')) await link(busybox, join(this.rootfs, 'bin', applet));
    await writeFile(join(this.rootfs, 'etc/passwd'), PASSWD);
    await writeFile(join(this.rootfs, 'etc/group'), GROUP);
    await chown(this.rootfs, 0, 0);
  }
}

/** A container that an OCI runtime runs in the foreground. */
export class Container {
  readonly ended: Promise<Output>;
  readonly #runtime: string;
  readonly #global: string[];
  readonly #bundle: string;
  readonly #id: string;

  constructor(runtime: string, root: string, bundle: string, id: string) {
    this.#runtime = runtime;
    this.#global = ['--root', root];
    this.#bundle = bundle;
    this.#id = id;
    this.ended = output(runtime, [...this.#global, 'run', '--bundle', bundle, id]);
  }

  /** The pid of its init once it runs. */
  async pid(): Promise<number> {
    for (let attempt = 0; attempt < 100; attempt++) {
      const state = await output(this.#runtime, [...this.#global, 'state', this.#id]);
      const parsed = state.code === 0 ? JSON.parse(state.stdout) : {};
      if (parsed.status === 'running') return parsed.pid;
      await new Promise((done) => setTimeout(done, 50));
    }
    throw new Error(`container ${this.#id} does not run: ${JSON.stringify(await this.ended)}`);
  }

  async exec(process: Process): Promise<Output> {
    const file = join(this.#bundle, 'process.json');
    await writeFile(file, JSON.stringify(process));
    return output(this.#runtime, [...this.#global, 'exec', '--process', file, this.#id]);
  }

  async kill(): Promise<Output> {
    await output(this.#runtime, [...this.#global, 'kill', this.#id, 'KILL']);
    return this.ended;
  }
}

/** What the real runtime says of itself. */
export function featuresOf(path: string): Promise<RuntimeFeatures> {
  const options = { name: 'test', path, root: '/run/skiff-spec-test', systemdCgroup: false };
  return new OciRuntime(options, { log: silentLog() }).features();
}

/** Runs a program to its end. */
export function output(file: string, args: string[]): Promise<Output> {
  return collect(spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] }));
}

function collect(child: ChildProcess): Promise<Output> {
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => err.push(chunk));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) =>
      resolve({ code, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() }),
    );
  });
}
