import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parse, TomlError } from 'smol-toml';
import * as v from 'valibot';
import { errnoOf, messageOf, SkiffError } from '../base/errors.ts';
import { checksOf } from './checks.ts';
import { describe, problemsOf } from './problems.ts';
import { type Config, schema } from './schema.ts';
import { configOf, defaultTable, isTable, type Table } from './shape.ts';

export const DEFAULT_FILE = '/etc/skiff/config.toml';

/** Where a configuration comes from. Later wins: defaults, `file`, `dropInDir/*.toml` in name order, `overrides`. */
export interface ConfigSource {
  file: string;
  /** True where the user named the file: then it must exist. */
  fileRequired: boolean;
  dropInDir: string;
  /** Keys as in the file, such as `{ log: { level: 'debug' } }`: the command line's. */
  overrides: Table;
}

/** The source for `--config FILE` (undefined = the default file) with drop-ins beside the file. */
export function configSource(file: string | undefined, overrides: Table = {}): ConfigSource {
  const path = file ?? DEFAULT_FILE;
  return {
    file: path,
    fileRequired: file !== undefined,
    dropInDir: join(dirname(path), 'config.d'),
    overrides,
  };
}

/**
 * The validated configuration. Fails with `invalid_argument` and every problem
 * of every file, one per line, each with file, line and key.
 */
export async function loadConfig(source: ConfigSource): Promise<Config> {
  return parseConfig([...(await readFiles(source)), { name: 'command line', table: source.overrides }]);
}

/** The files of `source` that exist, in the order in which they are read. */
export async function configFiles(source: ConfigSource): Promise<string[]> {
  return (await readFiles(source)).map((file) => file.name);
}

/** One layer of the configuration: a file's text, or a table that is there already. */
export type Layer = { name: string; text: string } | { name: string; table: Table };

/** The configuration that `layers` give, later ones winning, without a look at this machine. */
export function parseConfig(layers: Layer[]): Config {
  const parsed = layers.map((layer) =>
    'text' in layer ? { ...layer, table: parseToml(layer) } : { ...layer, text: '' },
  );
  const problems = parsed.flatMap(({ name, text, table }) =>
    problemsOf(table).map((problem) => describe(problem, name, text)),
  );
  if (problems.length > 0) throw invalid(problems);
  const merged = parsed.reduce((all, { table }) => merge(all, table), defaultTable());
  const config = configOf(v.parse(schema, merged) as Table);
  const conflicts = checksOf(config).map((problem) => {
    const last = parsed.findLast(
      ({ table }) => isSet(table, problem.path) || isSet(table, problem.path.slice(0, -1)),
    );
    return describe(problem, last?.name ?? 'default', last?.text ?? '');
  });
  if (conflicts.length > 0) throw invalid(conflicts);
  return config;
}

/** `over` on `under`: tables are merged key by key, everything else is replaced. */
export function merge(under: Table, over: Table): Table {
  const merged: Table = { ...under };
  for (const [key, value] of Object.entries(over)) {
    const below = merged[key];
    merged[key] = isTable(value) && isTable(below) ? merge(below, value) : value;
  }
  return merged;
}

async function readFiles(source: ConfigSource): Promise<{ name: string; text: string }[]> {
  const main = await readLayer(source.file);
  if (main === undefined && source.fileRequired) {
    throw new SkiffError('not_found', `read configuration: there is no file ${source.file}`);
  }
  const dropIns = await Promise.all((await dropInNames(source.dropInDir)).map(readLayer));
  return [main, ...dropIns].filter((layer) => layer !== undefined);
}

async function dropInNames(directory: string): Promise<string[]> {
  try {
    const names = await readdir(directory);
    return names
      .filter((name) => name.endsWith('.toml') && !name.startsWith('.'))
      .sort()
      .map((name) => join(directory, name));
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return [];
    throw SkiffError.from(cause, `read configuration: list ${directory}`);
  }
}

async function readLayer(name: string): Promise<{ name: string; text: string } | undefined> {
  try {
    return { name, text: await readFile(name, 'utf8') };
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return undefined;
    throw SkiffError.from(cause, `read configuration ${name}`);
  }
}

function parseToml({ name, text }: { name: string; text: string }): Table {
  try {
    return parse(text);
  } catch (cause) {
    // The library's message goes on with a drawing of the line; its first line says what is wrong.
    const reason = messageOf(cause)
      .split('\n')[0]
      ?.replace(/^Invalid TOML document: /, '');
    const where = cause instanceof TomlError ? `${name}:${cause.line}:${cause.column}` : name;
    throw invalid([`${where}: not TOML: ${reason}`]);
  }
}

function isSet(table: Table, path: readonly string[]): boolean {
  if (path.length === 0) return false;
  let value: unknown = table;
  for (const part of path) {
    if (!isTable(value) || !Object.hasOwn(value, part)) return false;
    value = value[part];
  }
  return true;
}

function invalid(problems: string[]): SkiffError {
  return new SkiffError('invalid_argument', problems.join('\n'));
}
