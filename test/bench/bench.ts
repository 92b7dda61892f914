import { join } from 'node:path';
import { type Busyness, watchMachine } from './busy.ts';
import { startContainerd } from './containerd.ts';
import type { Contestant } from './contestant.ts';
import { Samplings } from './figures.ts';
import { type Ground, prepareGround } from './ground.ts';
import { type Field, measureIdle, measureLog, measurePods, measurePulls } from './measure.ts';
import { makeReport, type Report } from './report.ts';
import { startSkiff } from './skiff.ts';
import { stepsOf } from './steps.ts';

export interface BenchOptions {
  /** Pods that live at once, and samples of each figure of pods in a round. */
  pods: number;
  rounds: number;
  warmUp: number;
  pulls: number;
  logBytes: number;
  logRounds: number;
  /** Of the image that is pulled. */
  layers: number;
  filesPerLayer: number;
  /** Without calls before memory is read, ms. */
  settleMs: number;
  /** Has skiff log the times of its steps, which costs it a little. */
  steps: boolean;
}

export const FULL: BenchOptions = {
  pods: 20,
  rounds: 2,
  warmUp: 3,
  pulls: 5,
  logBytes: 200_000_000,
  logRounds: 3,
  layers: 8,
  filesPerLayer: 500,
  settleMs: 3000,
  steps: false,
};

/** Shows that every measurement works, not how fast anything is. */
export const SMOKE: BenchOptions = {
  pods: 2,
  rounds: 1,
  warmUp: 1,
  pulls: 1,
  logBytes: 5_000_000,
  logRounds: 1,
  layers: 3,
  filesPerLayer: 20,
  settleMs: 1000,
  steps: true,
};

/** Runs everything in this process's namespaces: call it inside scripts/private.sh. */
export async function runBench(options: BenchOptions, say: (text: string) => void): Promise<Report> {
  say('making images and starting the registry');
  await using undo = new AsyncDisposableStack();
  const ground = undo.use(await prepareGround({ layers: options.layers, files: options.filesPerLayer }));
  const contestants = await startAll(ground, undo, { say, steps: options.steps });
  const field: Field = {
    contestants,
    samplings: new Samplings(),
    images: ground.images,
    settleMs: options.settleMs,
  };
  const busy: Record<string, Busyness> = {};
  const part = async (name: string, work: () => Promise<void>) => {
    say(name);
    const watch = await watchMachine();
    await work();
    busy[name] = await watch();
  };
  await measureIdle(field);
  for (const { client } of contestants)
    await client.images.PullImage({ image: { image: ground.images.busybox } });
  await part('pods', async () => {
    await measurePods(field, { pods: options.warmUp, round: 'warm', keep: false });
    for (let round = 0; round < options.rounds; round += 1)
      await measurePods(field, { pods: options.pods, round: `r${round}`, keep: true });
  });
  await part('pulls', () => measurePulls(field, { times: options.pulls }));
  await part('logs', () => measureLog(field, { bytes: options.logBytes, rounds: options.logRounds }));
  const versions = Object.fromEntries(contestants.map(({ name, version }) => [name, version]));
  return makeReport(field.samplings, {
    contestants: contestants.map(({ name }) => name),
    about: { ...versions, ...ground.about },
    options,
    busy,
    steps: options.steps ? await stepsOf(join(contestants.at(-1)!.directory, 'daemon.log')) : [],
  });
}

async function startAll(
  ground: Ground,
  undo: AsyncDisposableStack,
  { say, steps }: { say: (text: string) => void; steps: boolean },
): Promise<Contestant[]> {
  const contestants: Contestant[] = [];
  for (const start of [
    () => startContainerd(ground.bout, ground.programs.containerd),
    () => startSkiff(ground.bout, ground.programs.skiff, { steps }),
  ]) {
    const contestant = await start();
    undo.defer(() => contestant.stop());
    contestants.push(contestant);
    say(`${contestant.name} ${contestant.version} is ready`);
  }
  return contestants;
}
