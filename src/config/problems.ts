import * as v from 'valibot';
import { schema } from './schema.ts';
import { dotted, isTable, ROOT, type Section, type Shape, type Table } from './shape.ts';

/** One thing that is wrong with a file: `path` is the key, `text` the sentence after it. */
export interface Problem {
  path: string[];
  text: string;
}

/** Everything that is wrong with one parsed file by itself: keys that do not exist, values of a wrong kind. */
export function problemsOf(table: Table): Problem[] {
  const unknown = unknownKeys(ROOT, table, []);
  const { issues } = v.safeParse(schema, table);
  return [...unknown, ...(issues ?? []).map(problemOfIssue)];
}

/** `/etc/skiff/config.toml:12: image.platform: expected a text, found 3` */
export function describe(problem: Problem, file: string, source: string): string {
  const line = lineOf(source, problem.path) ?? lineOf(source, problem.path.slice(0, -1));
  const where = line === undefined ? file : `${file}:${line}`;
  return `${where}: ${problem.path.length === 0 ? '' : `${dotted(problem.path)}: `}${problem.text}`;
}

/**
 * The line (from 1) on which `path` is set, found by reading table headers and
 * keys as TOML writes them; undefined where the key is inside an inline table.
 */
export function lineOf(source: string, path: readonly string[]): number | undefined {
  let header: string[] = [];
  let headerLine: number | undefined;
  for (const [index, line] of source.split('\n').entries()) {
    const table = /^\s*\[+\s*([^\]]+?)\s*\]+/.exec(line)?.[1];
    if (table !== undefined) {
      header = keyParts(table);
      if (samePath(header.slice(0, path.length), path)) headerLine ??= index + 1;
      continue;
    }
    const name = /^\s*((?:"[^"]*"|'[^']*'|[\w-]+|\s*\.\s*)+?)\s*=/.exec(line)?.[1];
    if (name === undefined) continue;
    const full = [...header, ...keyParts(name)];
    if (path.length > header.length && samePath(full.slice(0, path.length), path)) return index + 1;
  }
  return headerLine;
}

/** The known name closest to `name`, or undefined where none is close enough to be meant. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const ranked = known.map((other) => ({ other, distance: editDistance(name.toLowerCase(), other) }));
  const best = ranked.sort((a, b) => a.distance - b.distance)[0];
  const limit = Math.max(1, Math.floor(name.length / 3));
  return best !== undefined && best.distance <= limit ? best.other : undefined;
}

/** How many letters must be put in, taken out, replaced or swapped with their neighbour. */
export function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      let least = Math.min(
        previous[column]! + 1,
        current[column - 1]! + 1,
        previous[column - 1]! + (same ? 0 : 1),
      );
      const swapped = a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (swapped && row > 1 && column > 1) least = Math.min(least, before[column - 2]! + 1);
      current.push(least);
    }
    before = previous;
    previous = current;
  }
  return previous[b.length]!;
}

function unknownKeys(shape: Shape, value: unknown, path: string[]): Problem[] {
  if (shape.kind === 'leaf' || !isTable(value)) return [];
  if (shape.kind === 'named') {
    return Object.entries(value).flatMap(([name, item]) => unknownKeys(shape.value, item, [...path, name]));
  }
  return Object.entries(value).flatMap(([name, item]) => {
    const key = shape.keys.find((known) => known.name === name);
    if (key !== undefined) return unknownKeys(key.shape, item, [...path, name]);
    return [{ path: [...path, name], text: `there is no such key${hint(name, path, shape)}` }];
  });
}

/** The nearest key in the same table; else the same or a near name in another table. */
function hint(name: string, path: string[], shape: Section): string {
  const here = nearest(
    name,
    shape.keys.map((key) => key.name),
  );
  if (here !== undefined) return `; did you mean ${dotted([...path, here])}?`;
  const leaves = leafPaths(ROOT, []);
  const near = nearest(
    name,
    leaves.map((leaf) => leaf.at(-1)!),
  );
  const elsewhere = near === undefined ? undefined : leaves.find((leaf) => leaf.at(-1) === near);
  if (elsewhere !== undefined) return `; did you mean ${dotted(elsewhere)}?`;
  return `; known here: ${shape.keys.map((key) => key.name).join(', ')}`;
}

function leafPaths(shape: Shape, path: string[]): string[][] {
  if (shape.kind !== 'section') return [path];
  return shape.keys.flatMap((key) => leafPaths(key.shape, [...path, key.name]));
}

function problemOfIssue(issue: v.BaseIssue<unknown>): Problem {
  const path = (issue.path ?? []).map((item) => String(item.key));
  // An index of a list says more as a value: the list stands on one line or is easy to search.
  const keys = path.filter((_, index) => issue.path?.[index]?.type !== 'array');
  const value = isSecret(ROOT, keys) ? 'something else' : found(issue.input);
  return { path: keys, text: `expected ${issue.message}, found ${value}` };
}

function isSecret(shape: Shape, path: string[]): boolean {
  if (shape.kind === 'leaf') return shape.secret;
  const [first, ...rest] = path;
  if (shape.kind === 'named') return isSecret(shape.value, rest);
  const key = shape.keys.find(({ name }) => name === first);
  return key !== undefined && isSecret(key.shape, rest);
}

function found(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (isTable(value)) return 'a table';
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}

function keyParts(text: string): string[] {
  return [...text.matchAll(/"([^"]*)"|'([^']*)'|([\w-]+)/g)].map((m) => m[1] ?? m[2] ?? m[3] ?? '');
}

function samePath(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((part, index) => part === b[index]);
}
