import { execFile } from 'node:child_process';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Contestant } from './contestant.ts';
import { type FigureKey, Samplings, timed } from './figures.ts';
import { peakKiB, pssOf, weighDaemon } from './memory.ts';
import { endPod, execEcho, type Pod, startPod } from './workload.ts';

const run = promisify(execFile);
const LOG_LINE = 'x'.repeat(99);
const LOG_END = 'the end';
const LOG_TIMEOUT_MS = 120_000;

export interface Field {
  contestants: Contestant[];
  samplings: Samplings;
  images: { busybox: string; manyLayers: string };
  /** After this long without a call, in ms, a daemon counts as idle; whole seconds. */
  settleMs: number;
}

/** Idle memory of the daemons as they come up. */
export async function measureIdle({ contestants, samplings, settleMs }: Field): Promise<void> {
  await sleep(settleMs);
  for (const { name, pid } of contestants)
    samplings.add('idleDaemon', name, (await weighDaemon(pid)).rss / 1024);
}

/**
 * `pods` pods per contestant, one after another and by turns (A B, then B A): started, a command run in each, their
 * helpers weighed, ended. `round` makes names unique; a round that warms up leaves no samples.
 */
export async function measurePods(
  field: Field,
  options: { pods: number; round: string; keep: boolean },
): Promise<void> {
  const samplings = options.keep ? field.samplings : new Samplings();
  const take = (contestant: Contestant, times: Partial<Record<FigureKey, number>>) => {
    for (const [key, ms] of Object.entries(times)) samplings.add(key as FigureKey, contestant.name, ms);
  };
  const phase = async (cpu: FigureKey, work: () => Promise<void>) => {
    const spent = await watchCpu(field.contestants);
    await work();
    for (const [contestant, ms] of await spent()) take(contestant, { [cpu]: ms / options.pods });
  };
  const pods: { contestant: Contestant; pod: Pod }[] = [];
  await phase('cpuStart', async () => {
    for (const { contestant, turn } of turns(field.contestants, options.pods)) {
      const { pod, times } = await startPod(contestant.client, {
        name: `${options.round}-${turn}`,
        image: field.images.busybox,
        logs: join(contestant.directory, 'logs'),
      });
      pods.push({ contestant, pod });
      take(contestant, times);
    }
  });
  await phase('cpuExec', async () => {
    for (const { contestant, pod } of pods)
      take(contestant, { execSync: await execEcho(contestant.client, pod) });
  });
  if (options.keep) await weighPods(field, options.pods);
  await phase('cpuEnd', async () => {
    for (const { contestant, pod } of pods) take(contestant, await endPod(contestant.client, pod));
  });
}

/** CPU time that each contestant spends from now until the answered function is called. */
async function watchCpu(contestants: Contestant[]): Promise<() => Promise<[Contestant, number][]>> {
  const from = await Promise.all(contestants.map((contestant) => contestant.cpuMs()));
  return () =>
    Promise.all(
      contestants.map(
        async (contestant, i): Promise<[Contestant, number]> => [
          contestant,
          (await contestant.cpuMs()) - from[i]!,
        ],
      ),
    );
}

/** Each contestant `count` times, the first one last in every second turn. */
function turns(contestants: Contestant[], count: number): { contestant: Contestant; turn: number }[] {
  return Array.from({ length: count }, (_, turn) =>
    (turn % 2 === 0 ? contestants : contestants.toReversed()).map((contestant) => ({ contestant, turn })),
  ).flat();
}

async function weighPods({ contestants, samplings, settleMs }: Field, pods: number): Promise<void> {
  await sleep(settleMs);
  for (const { name, pid, shim, helpers } of contestants) {
    const all = await pssOf(helpers);
    samplings.add('perPod', name, all.reduce((sum, value) => sum + value, 0) / pods);
    samplings.add('shim', name, ...(await pssOf([shim])));
    samplings.add('daemonWithPods', name, (await weighDaemon(pid)).rss / 1024);
  }
}

/** Pulls the image of many layers and removes it again, by turns; disk writes of earlier turns are over by then. */
export async function measurePulls(field: Field, options: { times: number }): Promise<void> {
  const image = { image: field.images.manyLayers };
  for (const { contestant } of turns(field.contestants, options.times)) {
    await run('sync');
    const spent = await watchCpu([contestant]);
    const { ms } = await timed(() => contestant.client.images.PullImage({ image }));
    field.samplings.add('pull', contestant.name, ms);
    for (const [{ name }, cpu] of await spent()) field.samplings.add('cpuPull', name, cpu);
    await contestant.client.images.RemoveImage({ image });
  }
}

/**
 * A container waits, then writes `bytes` bytes in lines of 100 to its output. The daemon's memory is read after the
 * start and again when the log is whole; no call goes to the daemon in between, so what has grown comes from the
 * log. The container's own times (ContainerStatus) tell how long the writing took.
 */
export async function measureLog(field: Field, options: { bytes: number; rounds: number }): Promise<void> {
  const delayMs = field.settleMs + 1000;
  for (const { contestant, turn } of turns(field.contestants, options.rounds)) {
    const { name, pid, client } = contestant;
    const { pod } = await startPod(client, {
      name: `log-${turn}`,
      image: field.images.busybox,
      logs: join(contestant.directory, 'logs'),
      command: ['sh', '-c', writer(options.bytes, delayMs)],
    });
    await sleep(delayMs / 2);
    const before = (await weighDaemon(pid)).anonymous;
    const spent = await watchCpu([contestant]);
    const { peak } = await peakKiB(pid, () => wholeLog(pod.log));
    for (const [, cpu] of await spent()) field.samplings.add('cpuLog', name, cpu);
    await sleep(field.settleMs);
    const after = (await weighDaemon(pid)).anonymous;
    field.samplings.add('logGrowth', name, ((after - before) * 1024) / options.bytes);
    field.samplings.add('logPeak', name, ((peak - before) * 1024) / options.bytes);
    field.samplings.add('logTime', name, (await lifetimeMs(contestant, pod)) - delayMs);
    await endPod(client, pod);
  }
}

function writer(bytes: number, delayMs: number): string {
  return `sleep ${delayMs / 1000}; yes ${LOG_LINE} | head -c ${bytes}; echo; echo ${LOG_END}`;
}

async function wholeLog(path: string): Promise<void> {
  const until = performance.now() + LOG_TIMEOUT_MS;
  while (!(await endsWith(path, `${LOG_END}\n`))) {
    if (performance.now() > until) throw new Error(`${path} is not whole after ${LOG_TIMEOUT_MS / 1000} s`);
    await sleep(100);
  }
}

/** Of a container that has ended well. */
async function lifetimeMs({ name, client }: Contestant, pod: Pod): Promise<number> {
  const { status } = await client.runtime.ContainerStatus({ container_id: pod.container });
  if (status?.exit_code !== 0)
    throw new Error(`${name}: the writer of the log ended with ${status?.exit_code}`);
  return nanoseconds(status.finished_at, status.started_at) / 1e6;
}

function nanoseconds(to: string | number | { toString(): string }, from: typeof to): number {
  return Number(BigInt(to.toString()) - BigInt(from.toString()));
}

/** Whether a file's last bytes are `text`; false while it is not there. */
async function endsWith(path: string, text: string): Promise<boolean> {
  const file = await open(path).catch(() => undefined);
  if (file === undefined) return false;
  try {
    const { size } = await file.stat();
    const tail = Buffer.alloc(text.length);
    await file.read(tail, 0, tail.length, Math.max(0, size - tail.length));
    return tail.toString() === text;
  } finally {
    await file.close();
  }
}
