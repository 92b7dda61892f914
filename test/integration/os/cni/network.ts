import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLog } from '../../../../src/base/log.ts';
import { Cni, type CniOptions } from '../../../../src/os/cni/cni.ts';
import type { CniRequest } from '../../../../src/os/cni/request.ts';
import { pinSandbox, unpinSandbox } from '../../../../src/os/namespaces.ts';
import { run } from '../../../../src/os/process.ts';

/** The plugins of the distribution. */
const SYSTEM_PLUGINS = '/usr/lib/cni';

/** One CNI set-up of its own: configuration, scripts as plugins, address store, bridge and subnet. */
export class TestNetwork {
  readonly directory: string;
  /** Third byte of the subnet, so that test files may run side by side. */
  readonly subnet: number;
  readonly #undo: (() => Promise<unknown> | unknown)[] = [];

  private constructor(directory: string, subnet: number) {
    this.directory = directory;
    this.subnet = subnet;
  }

  static async make(subnet: number): Promise<TestNetwork> {
    const directory = await mkdtemp(join(tmpdir(), 'skiff-net-'));
    const network = new TestNetwork(directory, subnet);
    for (const name of ['conf', 'bin', 'store', 'www']) await mkdir(join(directory, name));
    await writeFile(join(directory, 'www', 'index.html'), 'hello from the pod\n');
    return network;
  }

  get confDir(): string {
    return join(this.directory, 'conf');
  }
  get bridge(): string {
    return `skt${this.subnet}`;
  }

  /** Undoes all that was made through this object, newest first. */
  async end(): Promise<void> {
    for (const undo of this.#undo.toReversed()) await undo();
    await rm(this.directory, { recursive: true, force: true });
    execFileSync('/bin/sh', ['-c', `ip link delete ${this.bridge} 2>/dev/null || true`]);
  }

  /** bridge + host-local + portmap + firewall, and what a test adds. */
  plugins(...more: object[]): object[] {
    const ipam = {
      type: 'host-local',
      dataDir: join(this.directory, 'store'),
      ranges: [[{ subnet: `10.199.${this.subnet}.0/24` }]],
      routes: [{ dst: '0.0.0.0/0' }],
    };
    return [
      { type: 'bridge', bridge: this.bridge, isGateway: true, ipMasq: true, hairpinMode: true, ipam },
      { type: 'portmap', capabilities: { portMappings: true } },
      { type: 'firewall', backend: 'iptables' },
      ...more,
    ];
  }

  async configure(plugins: object[], extra: object = {}, file = '10-test.conflist'): Promise<void> {
    const list = { cniVersion: '1.0.0', name: `test${this.subnet}`, plugins, ...extra };
    await writeFile(join(this.confDir, file), JSON.stringify(list));
  }

  /** A shell script as plugin; its standard input was stored in `$INPUT`, and every call is noted for `calls`. */
  async script(name: string, body: string): Promise<void> {
    const file = join(this.directory, 'bin', name);
    const note = `INPUT=$(cat); echo "$CNI_COMMAND $CNI_NETNS" >>${this.directory}/${name}.calls; printf %s "$INPUT" >${this.directory}/${name}.$CNI_COMMAND.json`;
    await writeFile(file, `#!/bin/sh\n${note}\n${body}\n`);
    await chmod(file, 0o755);
  }

  async calls(name: string): Promise<string[]> {
    const text = await readFile(join(this.directory, `${name}.calls`), 'utf8').catch(() => '');
    return text.split('\n').filter((line) => line !== '');
  }

  async input(name: string, command: string): Promise<Record<string, unknown>> {
    return JSON.parse(await readFile(join(this.directory, `${name}.${command}.json`), 'utf8'));
  }

  async cni(options: Partial<CniOptions> = {}): Promise<Cni> {
    const binDirs = [join(this.directory, 'bin'), SYSTEM_PLUGINS];
    const cni = new Cni({ confDir: this.confDir, binDirs, maxConfNum: 1, ...options }, { log: silentLog() });
    this.#undo.push(() => cni.stop());
    await cni.start();
    return cni;
  }

  /** A pinned network namespace and what CNI is asked for it. */
  async pod(changes: Partial<CniRequest> = {}): Promise<CniRequest> {
    const id = randomBytes(32).toString('hex');
    const paths = { net: join(this.directory, `ns-${id.slice(0, 8)}`), ipc: null, uts: null };
    await pinSandbox({ ...paths, hostname: '', sysctls: [] });
    this.#undo.push(() => unpinSandbox(paths));
    return {
      id,
      netns: paths.net,
      ifName: 'eth0',
      name: 'web',
      namespace: 'test',
      uid: 'u1',
      annotations: {},
      portMappings: [],
      dns: null,
      bandwidth: null,
      ips: [],
      mac: '',
      cgroupPath: '',
      ...changes,
    };
  }

  /** Serves the page of `www` on port 80 of a pod until the end of the test. */
  async serve(netns: string): Promise<void> {
    const stop = new AbortController();
    const args = ['httpd', '-f', '-p', '80', '-h', join(this.directory, 'www')];
    const server = run('/usr/bin/busybox', args, { netns, signal: stop.signal }).catch(() => undefined);
    this.#undo.push(async () => {
      stop.abort();
      await server;
    });
  }

  /** Addresses that host-local holds. */
  async addresses(): Promise<string[]> {
    const directory = join(this.directory, 'store', `test${this.subnet}`);
    const names = await readdir(directory).catch(() => []);
    return names.filter((name) => name.startsWith('10.'));
  }
}

/** Rules that speak of any of `words`. */
export function rulesWith(...words: string[]): string[] {
  const rules = execFileSync('iptables-save', { encoding: 'utf8' }).split('\n');
  return rules.filter((rule) => words.some((word) => rule.includes(word)));
}

/** The page at `http://host:port/`, asked again until the server is up. */
export async function page(host: string, port: number): Promise<string> {
  for (let i = 0; ; i += 1) {
    try {
      return await get(host, port);
    } catch (cause) {
      if (i >= 50) throw cause;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

function get(host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, timeout: 1000 }, () => socket.end('GET / HTTP/1.0\r\n\r\n'));
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.on('end', () => resolve(text.split('\r\n\r\n')[1] ?? ''));
    socket.on('timeout', () => socket.destroy(new Error(`no answer from ${host}:${port}`)));
    socket.on('error', reject);
  });
}
