import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { access, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CriClient, createClient } from '../../src/cri/client.ts';

/** What every contestant is given: the same runc, plugins, network configuration and registry. */
export interface Bout {
  /** Directory of the bout; each contestant uses one below it. */
  directory: string;
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
  /** Command names of the processes that it keeps for each pod or container. */
  helpers: string[];
  stop(): Promise<void>;
}

/** Starts a daemon and waits until its CRI socket answers; its output goes to `directory/daemon.log`. */
export async function startDaemon(options: {
  name: string;
  directory: string;
  command: [string, ...string[]];
  socket: string;
  env?: Record<string, string>;
}): Promise<Omit<Contestant, 'helpers'>> {
  await mkdir(options.directory, { recursive: true });
  const log = createWriteStream(join(options.directory, 'daemon.log'));
  const [file, ...args] = options.command;
  const child = spawn(file, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
  });
  child.stdout?.pipe(log);
  child.stderr?.pipe(log);
  const client = await answering(child, options);
  const { runtime_version: version } = await client.runtime.Version({});
  return {
    name: options.name,
    version,
    client,
    pid: child.pid!,
    stop: async () => {
      client.close();
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      if ((await Promise.race([ended, sleep(10_000)])) === undefined) child.kill('SIGKILL');
      await ended;
    },
  };
}

async function answering(
  child: ChildProcess,
  options: { name: string; directory: string; socket: string },
): Promise<CriClient> {
  for (let tries = 0; tries < 200; tries += 1) {
    if (child.exitCode !== null) break;
    if (await isThere(options.socket)) {
      const client = createClient(options.socket);
      const ready = await client.runtime.Status({}, { timeoutMs: 2000 }).catch(() => undefined);
      if (ready?.status?.conditions?.every((condition) => condition.status)) return client;
      client.close();
    }
    await sleep(100);
  }
  child.kill('SIGKILL');
  throw new Error(`${options.name} did not become ready: see ${join(options.directory, 'daemon.log')}`);
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
