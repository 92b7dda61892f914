import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { link, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** One line of the registry's access log. */
export interface Access {
  method: string;
  path: string;
  status: number;
}

export interface RegistryOptions {
  /** Further lines of the registry's YAML configuration, at its top level. */
  extra?: string;
}

/**
 * Debian's docker-registry on a free port of 127.0.0.1, with its storage and log
 * in a directory of its own. `host` is what references begin with. Everything
 * ends with `stop`.
 */
export class TestRegistry {
  readonly host: string;
  readonly directory: string;
  readonly #child: ChildProcess;
  readonly #log: string;

  private constructor(host: string, directory: string, child: ChildProcess) {
    this.host = host;
    this.directory = directory;
    this.#child = child;
    this.#log = join(directory, 'log');
  }

  static async start(options: RegistryOptions = {}): Promise<TestRegistry> {
    const directory = await mkdtemp(join(tmpdir(), 'sk-registry-'));
    const host = `127.0.0.1:${await freePort()}`;
    const config = join(directory, 'config.yml');
    await writeFile(config, configuration(host, directory, options.extra ?? ''));
    const log = join(directory, 'log');
    const child = spawn('/bin/sh', ['-c', 'exec docker-registry serve "$0" >"$1" 2>&1', config, log], {
      stdio: 'ignore',
      env: { PATH: process.env.PATH ?? '/usr/bin', OTEL_TRACES_EXPORTER: 'none' },
    });
    const registry = new TestRegistry(host, directory, child);
    await registry.#ready();
    return registry;
  }

  /** Copies an OCI layout (`<dir>:<tag>`) into the registry as `<repository>:<tag>`; answers the manifest's digest. */
  async push(layout: string, name: string, args: string[] = []): Promise<string> {
    const digestFile = join(this.directory, `digest-${name.replaceAll(/[^a-z0-9]/g, '-')}`);
    await run('skopeo', [
      'copy',
      '--insecure-policy',
      '--dest-tls-verify=false',
      '--digestfile',
      digestFile,
      ...args,
      `oci:${layout}`,
      `docker://${this.host}/${name}`,
    ]);
    return (await readFile(digestFile, 'utf8')).trim();
  }

  /** Where the registry keeps a blob's bytes. */
  blobFile(digest: string): string {
    const hex = digest.slice(digest.indexOf(':') + 1);
    return join(this.directory, 'storage/docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data');
  }

  /** All requests answered so far. */
  async accesses(): Promise<Access[]> {
    const text = await readFile(this.#log, 'utf8');
    const lines = text.matchAll(/"([A-Z]+) (\/v2\/\S*) HTTP\/1\.1" (\d{3})/g);
    return [...lines].map(([, method = '', path = '', status = '']) => ({
      method,
      path,
      status: Number(status),
    }));
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = new Promise((resolve) => this.#child.once('exit', resolve));
      this.#child.kill('SIGKILL');
      await exited;
    }
    await rm(this.directory, { recursive: true, force: true });
  }

  async #ready(): Promise<void> {
    for (let tries = 0; tries < 100; tries++) {
      const answer = await fetch(`http://${this.host}/v2/`).catch(() => undefined);
      if (answer !== undefined) return;
      if (this.#child.exitCode !== null) break;
      await sleep(50);
    }
    const log = await readFile(this.#log, 'utf8').catch(() => '');
    await this.stop();
    throw new Error(`docker-registry did not start on ${this.host}:\n${log}`);
  }
}

/**
 * Makes an OCI layout in `<directory>/<name>` with one image `latest`, made of the
 * machine's own static busybox: applets as hard links, /etc/passwd and group, a
 * sticky /tmp. Answers `<layout>:latest`, as `push` takes it.
 */
export async function busyboxImage(directory: string, name = 'busybox'): Promise<string> {
  const rootfs = join(directory, `${name}-rootfs`);
  for (const path of ['bin', 'etc', 'proc', 'sys', 'dev', 'root', 'home', 'www'])
    await mkdir(join(rootfs, path), { recursive: true });
  await mkdir(join(rootfs, 'tmp'));
  await run('chmod', ['1777', join(rootfs, 'tmp')]);
  await run('cp', ['/bin/busybox', join(rootfs, 'bin/busybox')]);
  const { stdout } = await run('/bin/busybox', ['--list']);
  for (const applet of stdout.split('\n'))
    if (applet !== '' && applet !== 'busybox')
      await link(join(rootfs, 'bin/busybox'), join(rootfs, 'bin', applet));
  await writeFile(
    join(rootfs, 'etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/www:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n',
  );
  await writeFile(join(rootfs, 'etc/group'), 'root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n');
  await writeFile(join(rootfs, 'www/index.html'), 'hello from skiff\n');
  const layout = join(directory, name);
  await run('umoci', ['init', '--layout', layout]);
  await run('umoci', ['new', '--image', `${layout}:latest`]);
  await run('umoci', ['insert', '--image', `${layout}:latest`, rootfs, '/']);
  await run('umoci', [
    'config',
    '--image',
    `${layout}:latest`,
    '--config.cmd=/bin/sh',
    '--config.env=PATH=/bin',
    '--config.workingdir=/',
  ]);
  await rm(rootfs, { recursive: true });
  return `${layout}:latest`;
}

function configuration(host: string, directory: string, extra: string): string {
  return `version: 0.1
log:
  level: info
  accesslog:
    disabled: false
storage:
  filesystem:
    rootdirectory: ${directory}/storage
  delete:
    enabled: true
http:
  addr: ${host}
${extra}
`;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
