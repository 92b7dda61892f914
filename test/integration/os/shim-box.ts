import assert from 'node:assert/strict';
import { chmod, copyFile, link, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../../../src/os/process.ts';
import { type Shim, type ShimStart, startShim } from '../../../src/os/shim.ts';

const APPLETS = ['sh', 'cat', 'echo', 'head', 'ls', 'seq', 'setsid', 'sleep', 'stty', 'tr', 'yes'];

export interface Log {
  time: string;
  stream: string;
  tag: string;
  text: string;
}

/** A directory with a busybox root in which tests start containers under shims; `remove` fails where one is left. */
export class ShimBox {
  readonly directory: string;
  readonly #started: Shim[] = [];
  #count = 0;

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async make(): Promise<ShimBox> {
    const box = new ShimBox(await mkdtemp(join(tmpdir(), 'sk-')));
    for (const name of ['bin', 'proc', 'dev', 'tmp'])
      await mkdir(join(box.directory, 'rootfs', name), { recursive: true });
    const busybox = join(box.directory, 'rootfs', 'bin', 'busybox');
    await copyFile('/bin/busybox', busybox);
    for (const applet of APPLETS) await link(busybox, join(box.directory, 'rootfs', 'bin', applet));
    return box;
  }

  /** What a start of `script` in a container of its own takes. */
  async plan(
    script: string | string[],
    change: Partial<ShimStart> & { hostPid?: boolean } = {},
  ): Promise<ShimStart> {
    const { hostPid = false, ...rest } = change;
    const id = `box-${process.pid}-${this.#count++}`;
    const home = join(this.directory, id);
    await mkdir(join(home, 'run'), { recursive: true });
    const args = typeof script === 'string' ? ['sh', '-c', script] : script;
    await writeFile(join(home, 'config.json'), JSON.stringify(this.#spec(args, rest.tty ?? false, hostPid)));
    return {
      id,
      runtime: 'runc',
      runtimeArgs: ['--root', join(this.directory, 'runc')],
      bundle: home,
      stateDir: join(home, 'run'),
      logPath: join(home, 'logs', '0.log'),
      exitFile: join(home, 'exit'),
      tty: false,
      stdin: false,
      stdinOnce: false,
      maxLine: 16384,
      ...rest,
    };
  }

  async start(plan: ShimStart): Promise<Shim> {
    const shim = await startShim(plan);
    this.#started.push(shim);
    return shim;
  }

  /** A program that stands in for an OCI runtime: `run` gets the words of `shim run`, with $STATE and $PIDFILE set. */
  async fakeRuntime(onRun: string): Promise<string> {
    const path = join(this.directory, `runtime-${this.#count++}`);
    const script = `#!/bin/sh
for word; do
  case "$last" in --pid-file) PIDFILE=$word ;; --log) LOG=$word ;; esac
  case "$word" in run | delete) verb=$word ;; esac
  last=$word
done
echo "$verb" >>${path}.calls
[ "$verb" = run ] || exit 0
${onRun}
`;
    await writeFile(path, script);
    await chmod(path, 0o755);
    return path;
  }

  async remove(): Promise<void> {
    for (const shim of this.#started) {
      await shim.kill(9, true).catch(() => undefined);
      await shim.exited;
      await until(async () => !(await isRunning(shim.shimPid)), `end of shim ${shim.shimPid}`);
      shim.disconnect();
    }
    const left = await run('runc', ['--root', join(this.directory, 'runc'), 'list', '-q']);
    for (const id of left.stdout.toString().split('\n').filter(Boolean))
      await run('runc', ['--root', join(this.directory, 'runc'), 'delete', '--force', id]);
    await rm(this.directory, { recursive: true });
  }

  #spec(args: string[], terminal: boolean, hostPid: boolean) {
    const namespaces = ['mount', 'ipc', 'uts', ...(hostPid ? [] : ['pid'])];
    return {
      ociVersion: '1.0.2',
      process: { terminal, user: { uid: 0, gid: 0 }, args, env: ['PATH=/bin'], cwd: '/' },
      root: { path: '../rootfs' },
      mounts: [
        { destination: '/proc', type: 'proc', source: 'proc' },
        { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755'] },
        { destination: '/dev/pts', type: 'devpts', source: 'devpts' },
      ],
      linux: { namespaces: namespaces.map((type) => ({ type })) },
    };
  }
}

/** A log's lines; fails where one is not of the CRI form. */
export async function readLog(path: string): Promise<Log[]> {
  const text = await readFile(path, 'latin1');
  if (text === '') return [];
  assert.ok(text.endsWith('\n'), 'the log ends with a whole line');
  return text
    .slice(0, -1)
    .split('\n')
    .map((line) => {
      const parts = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z) (stdout|stderr) ([PF]) (.*)$/s.exec(line);
      assert.ok(parts !== null, `not a CRI log line: ${line.slice(0, 200)}`);
      const [, time = '', stream = '', tag = '', content = ''] = parts;
      return { time, stream, tag, text: content };
    });
}

export async function isRunning(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  return stat !== undefined && !/^\d+ \(.*\) [ZX] /s.test(stat);
}

/** Waits until `condition` holds; fails after 10 s. */
export async function until(condition: () => Promise<boolean> | boolean, what: string): Promise<void> {
  const end = performance.now() + 10_000;
  while (!(await condition())) {
    if (performance.now() > end) assert.fail(`waited 10 s for: ${what}`);
    await sleep(10);
  }
}
