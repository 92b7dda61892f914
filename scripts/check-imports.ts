/**
 * Holds the source tree to its house rules (src/README.md): who may import
 * whom, no cycle of value imports, no file over 400 lines, nothing that hides a
 * type error, one place for child processes and for process.exit. Prints what
 * is wrong and exits with 1 where something is.
 */
import { glob, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { build, type Metafile } from 'esbuild';

const MAX_LINES = 400;

const ROOMS = ['sandbox', 'container', 'image'];
const LEAVES = ['oci', 'base'];
const BELOW_SERVICE = [...ROOMS, 'os', ...LEAVES];

/**
 * What each part of src/ may import as values, besides itself. Requests go doors -> service ->
 * rooms -> os; the rooms never see each other. `cli` reaches the daemon only over its sockets,
 * except that `skiff serve` starts it, and `skiff doctor` reads the host through os/.
 */
const MAY_IMPORT: Record<string, string[]> = {
  'main.ts': ['cli', 'daemon.ts', 'base'],
  'daemon.ts': ['config', 'cri', 'streaming', 'ops', 'service', ...BELOW_SERVICE],
  cli: ['daemon.ts', 'config', 'cri', 'streaming', 'ops', 'os', ...LEAVES],
  cri: ['service', ...ROOMS, ...LEAVES],
  streaming: ['service', ...ROOMS, ...LEAVES],
  ops: ['service', ...ROOMS, ...LEAVES],
  config: LEAVES,
  service: BELOW_SERVICE,
  sandbox: ['os', ...LEAVES],
  container: ['os', ...LEAVES],
  image: ['os', ...LEAVES],
  os: LEAVES,
  base: ['oci'],
  oci: [],
};

const SPAWNERS = /^(node:)?child_process$|^execa$|^node-pty$/;

/** Value imports of every module below src/, keyed by path from the repository (`src/base/id.ts`). */
export type ImportGraph = Map<string, { path: string; external: boolean }[]>;

/** Reads the value imports of all of src/: esbuild drops `import type`, as Node's own type stripping does. */
export async function readImports(repo: string): Promise<ImportGraph> {
  const { metafile } = await build({
    absWorkingDir: repo,
    entryPoints: (await files(repo, 'src/**/*.ts')).filter((path) => !path.endsWith('.d.ts')),
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    external: ['*.node'],
    outdir: 'dist/imports',
    write: false,
    metafile: true,
    logLevel: 'silent',
  });
  return graphOf(metafile);
}

/** Every breach of the rules in the repository at `repo`, one sentence each. */
export async function checkHouse(repo: string): Promise<string[]> {
  try {
    const graph = await readImports(repo);
    return [...forbiddenImports(graph), ...cycles(graph), ...(await textRules(repo))];
  } catch (cause) {
    if (!(cause instanceof Error && 'errors' in cause)) throw cause;
    return [`imports cannot be read: ${cause.message}`];
  }
}

/** Imports that go against the one direction. */
export function forbiddenImports(graph: ImportGraph): string[] {
  const breaches: string[] = [];
  for (const [from, imports] of graph) {
    const part = partOf(from);
    const allowed = MAY_IMPORT[part];
    if (allowed === undefined) breaches.push(`${from}: src/${part} has no place in scripts/check-imports.ts`);
    for (const { path, external } of imports) {
      if (external) {
        if (SPAWNERS.test(path) && part !== 'os')
          breaches.push(`${from} imports ${path}: only src/os starts processes`);
      } else if (partOf(path) !== part && !allowed?.includes(partOf(path))) {
        breaches.push(`${from} imports ${path}: ${part} may import ${allowed?.join(', ') || 'nothing else'}`);
      }
    }
  }
  return breaches;
}

/** Each cycle of value imports once, as a path that ends where it began. */
export function cycles(graph: ImportGraph): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): void => {
    const at = path.indexOf(file);
    if (at >= 0) {
      found.push(`import cycle: ${[...path.slice(at), file].join(' -> ')}`);
      return;
    }
    if (done.has(file)) return;
    path.push(file);
    for (const next of graph.get(file) ?? []) if (!next.external) visit(next.path);
    path.pop();
    done.add(file);
  };
  for (const file of graph.keys()) visit(file);
  return found;
}

function graphOf(metafile: Metafile): ImportGraph {
  const graph: ImportGraph = new Map();
  const own = (path: string) => path.startsWith('src/');
  for (const [path, { imports }] of Object.entries(metafile.inputs)) {
    if (!own(path)) continue;
    graph.set(
      path,
      imports.map((one) => ({ path: one.path, external: !own(one.path) })),
    );
  }
  return graph;
}

/** `src/cri/translate/x.ts` -> `cri`, `src/main.ts` -> `main.ts`. */
function partOf(path: string): string {
  return path.split('/')[1] ?? path;
}

async function textRules(repo: string): Promise<string[]> {
  const breaches: string[] = [];
  for (const path of [...(await files(repo, 'src/**/*.ts')), ...(await files(repo, 'native/**/*.{c,h}'))]) {
    const text = await readFile(join(repo, path), 'utf8');
    const lines = text.split('\n').length - 1;
    if (lines > MAX_LINES && !path.startsWith('src/cri/gen/'))
      breaches.push(`${path} has ${lines} lines: split what is over ${MAX_LINES} by what it knows`);
    breaches.push(...sourceRules(path, text));
  }
  return breaches;
}

/** Rules that the text of one file shows. */
export function sourceRules(path: string, text: string): string[] {
  const breaches: string[] = [];
  if (!path.startsWith('src/')) return breaches;
  if (/^\s*\/[/*]+\s*(@ts-(ignore|nocheck|expect-error)|biome-ignore[^\n]*noExplicitAny)/m.test(text))
    breaches.push(`${path} silences a type error: give the value its type`);
  if (path !== 'src/main.ts' && /\bprocess\.exit\(/.test(text))
    breaches.push(`${path} calls process.exit: only src/main.ts ends the process`);
  if (!path.startsWith('src/cri/') && /from '[^']*\/gen\//.test(text))
    breaches.push(`${path} imports a protobuf type: only src/cri knows them`);
  return breaches;
}

async function files(repo: string, pattern: string): Promise<string[]> {
  const found: string[] = [];
  for await (const path of glob(pattern, { cwd: repo })) found.push(relative(repo, join(repo, path)));
  return found.sort();
}

if (import.meta.main) {
  const breaches = await checkHouse(join(import.meta.dirname, '..'));
  for (const breach of breaches) console.error(breach);
  if (breaches.length > 0) process.exitCode = 1;
  else console.log('imports: one way, no cycles');
}
