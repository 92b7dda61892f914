import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdir, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CriClient, createClient } from '../../src/cri/client.ts';
import { cpuMsOf } from './busy.ts';

/** What every contestant is given: the same runc, plugins, network configuration and registry. */
export interface Bout {
  /** Directory of the bout; each contestant uses one below it. */
  directory: string;
  /** The same for what ends with the boot: on tmpfs, short because of sockets' paths. */
  runDirectory: string;
  runc: string;
  cniBinDirs: string[];
  /** "127.0.0.1:port" of a registry that speaks plain HTTP. */
  registry: string;
}

/** A runtime that is measured: a daemon behind a CRI socket. */
export interface Contestant {
  name: string;
  version: string;
  client: CriClient;
  /** The daemon's pid. */
  pid: number;
  /** The contestant's own directory: configuration, state, log. */
  directory: string;
  /** CPU time in ms of the daemon and all that it has started, containers aside. */
  cpuMs(): Promise<number>;
  /** Command name of the process that it keeps beside each container or pod. */
  shim: string;
  /** Command names of all processes that it keeps for each pod or container. */
  helpers: string[];
  stop(): Promise<void>;
}

const READY_MS = 20_000;
const STOP_MS = 10_000;

/** Starts a daemon and waits until its CRI socket answers; its output goes to `directory/daemon.log`. */
export async function startDaemon(options: {
  name: string;
  directory: string;
  command: [string, ...string[]];
  socket: string;
  env?: Record<string, string>;
}): Promise<Omit<Contestant, 'helpers' | 'shim'>> {
  await mkdir(options.directory, { recursive: true });
  const log = await open(join(options.directory, 'daemon.log'), 'a');
  const cgroup = join('/sys/fs/cgroup', `bench-${options.name}`);
  await mkdir(cgroup, { recursive: true });
  const child = spawn(
    '/bin/sh',
    ['-c', 'echo $$ >"$0/cgroup.procs"; exec "$@"', cgroup, ...options.command],
    {
      stdio: ['ignore', log.fd, log.fd],
      env: { ...process.env, ...options.env },
    },
  );
  const ended = once(child, 'exit');
  await log.close();
  const stop = async () => {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await ended;
    clearTimeout(timer);
  };
  try {
    const client = await answering(child, options.socket);
    const { runtime_version: version } = await client.runtime.Version({});
    return {
      name: options.name,
      version,
      client,
      pid: child.pid!,
      directory: options.directory,
      cpuMs: () => cpuMsOf(cgroup),
      stop: async () => {
        client.close();
        await stop();
      },
    };
  } catch (cause) {
    await stop();
    const output = await readFile(join(options.directory, 'daemon.log'), 'utf8');
    throw new Error(`${options.name} did not become ready; its output ends with:\n${output.slice(-4000)}`, {
      cause,
    });
  }
}

async function answering(child: ChildProcess, socket: string): Promise<CriClient> {
  const until = performance.now() + READY_MS;
  while (performance.now() < until && child.exitCode === null && child.signalCode === null) {
    if (await isThere(socket)) {
      const client = createClient(socket);
      const ready = await client.runtime.Status({}, { timeoutMs: 2000 }).catch(() => undefined);
      if (ready?.status?.conditions?.every((condition) => condition.status)) return client;
      client.close();
    }
    await sleep(100);
  }
  throw new Error(child.exitCode === null ? 'not ready in time' : `it ended with code ${child.exitCode}`);
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
