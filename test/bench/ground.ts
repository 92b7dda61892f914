import { execFile } from 'node:child_process';
import { access, constants, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findProgram } from '../../src/base/program.ts';
import { busyboxImage, TestRegistry } from '../harness/registry.ts';
import { tool } from '../harness/tools.ts';
import type { Bout } from './contestant.ts';
import { manyFiles, writeImage } from './layout.ts';

const run = promisify(execFile);
const repo = join(import.meta.dirname, '../..');

/** What all contestants share, made once: a directory, a registry with images, the runtime behind its wrapper. */
export interface Ground extends AsyncDisposable {
  bout: Bout;
  programs: { containerd: string; skiff: string };
  images: { busybox: string; manyLayers: string };
  /** Which of the shared programs, in words, for the report. */
  about: Record<string, string>;
}

export async function prepareGround(options: { layers: number; files: number }): Promise<Ground> {
  const programs = {
    containerd: await tool('containerd'),
    skiff: await executable(join(repo, 'dist/skiff'), 'run scripts/build.sh'),
  };
  const runc = await tool('runc');
  const cniBinDirs = await pluginDirectories();
  const undo = new AsyncDisposableStack();
  try {
    const directory = await mkdtemp(join(tmpdir(), 'sk-bench-'));
    undo.defer(() => rm(directory, { recursive: true, force: true }));
    const runDirectory = await mkdtemp('/run/skb-');
    undo.defer(() => rm(runDirectory, { recursive: true, force: true }));
    const wrapper = await compile(directory, 'without-limits', [`-DRUNTIME="${runc}"`]);
    const registry = await TestRegistry.start();
    undo.defer(() => registry.stop());
    const images = await pushImages(directory, registry, options);
    return {
      bout: { directory, runDirectory, runc: wrapper, cniBinDirs, registry: registry.host },
      programs,
      images,
      about: await describe({ runc, cniBinDirs }),
      [Symbol.asyncDispose]: () => undo.disposeAsync(),
    };
  } catch (cause) {
    await undo.disposeAsync();
    throw cause;
  }
}

async function pushImages(
  directory: string,
  registry: TestRegistry,
  size: { layers: number; files: number },
): Promise<Ground['images']> {
  const made = join(directory, 'images');
  await mkdir(made);
  const pause = await readFile(await compile(made, 'pause', []));
  const pauseImage = await writeImage(
    join(made, 'pause-image'),
    [[{ path: 'pause', mode: 0o755, content: pause }]],
    { Cmd: ['/pause'] },
  );
  const manyLayers = await writeImage(join(made, 'many-layers'), manyFiles(size), { Cmd: ['/none'] });
  await registry.push(pauseImage, 'pause:bench');
  await registry.push(await busyboxImage(made), 'busybox:bench');
  await registry.push(manyLayers, 'many-layers:bench');
  await rm(made, { recursive: true });
  return {
    busybox: `${registry.host}/busybox:bench`,
    manyLayers: `${registry.host}/many-layers:bench`,
  };
}

/** Compiles programs/<name>.c, static, and answers the program's path. */
async function compile(directory: string, name: string, flags: string[]): Promise<string> {
  const program = join(directory, name);
  const source = join(import.meta.dirname, 'programs', `${name}.c`);
  await run('cc', ['-O2', '-Wall', '-Wextra', '-Werror', '-static', '-s', ...flags, '-o', program, source]);
  return program;
}

async function executable(path: string, advice: string): Promise<string> {
  await access(path, constants.X_OK).catch(() => {
    throw new Error(`${path} cannot be run: ${advice}`);
  });
  return path;
}

async function pluginDirectories(): Promise<string[]> {
  for (const directory of [process.env.SKIFF_TOOL_CNI, '/opt/cni/bin', '/usr/lib/cni']) {
    if (directory === undefined) continue;
    const there = await access(join(directory, 'bridge'), constants.X_OK).then(
      () => true,
      () => false,
    );
    if (there) return [directory];
  }
  throw new Error('there are no CNI plugins here: run scripts/setup.sh');
}

async function describe(shared: { runc: string; cniBinDirs: string[] }): Promise<Record<string, string>> {
  const version = await run(shared.runc, ['--version']);
  const bridge = await run(join(shared.cniBinDirs[0]!, 'bridge'), ['--version']).catch((cause) => cause);
  const pluginVersion = /v\d\S*/.exec(`${bridge.stdout}${bridge.stderr}`)?.[0] ?? '';
  return {
    runc: version.stdout.split('\n', 1)[0]!.replace('runc version ', ''),
    cniPlugins: `${pluginVersion} in ${shared.cniBinDirs[0]}`.trim(),
    gunzip: await firstOnPath(['igzip', 'unpigz']),
  };
}

/** containerd unpacks with these where they are on PATH; skiff never does. */
async function firstOnPath(names: string[]): Promise<string> {
  for (const name of names) if ((await findProgram(name)) !== undefined) return name;
  return 'none on PATH';
}
