import * as v from 'valibot';
import { formatDuration } from '../base/duration.ts';
import { type Config, schema } from './schema.ts';

/**
 * The schema as a plain tree, which everything but validation walks: defaults,
 * unknown keys, camelCase, the reference.
 */
export type Shape = Section | { kind: 'named'; value: Shape } | Leaf;

export interface Leaf {
  kind: 'leaf';
  expected: string;
  duration: boolean;
  /** A password or the like. */
  secret: boolean;
}

export interface Section {
  kind: 'section';
  keys: Key[];
}

export interface Key {
  /** As in the file: snake_case. */
  name: string;
  description: string;
  reloadable: boolean;
  example: string;
  /** As it would stand in the file; undefined for a section. */
  byDefault: unknown;
  shape: Shape;
}

/** A TOML table as parsed. */
export type Table = Record<string, unknown>;

export function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

export const ROOT = shapeOf(schema) as Section;

/** Every key with its default, as one TOML table. */
export function defaultTable(section: Shape = ROOT): Table {
  if (section.kind !== 'section') return {};
  return Object.fromEntries(
    section.keys.map((key) => [
      key.name,
      key.shape.kind === 'section' ? defaultTable(key.shape) : structuredClone(key.byDefault),
    ]),
  );
}

/** A validated table as a frozen Config. */
export function configOf(table: Table): Config {
  return rename(ROOT, table, camel, (value) => value) as Config;
}

/** What is shown in place of a secret that is set. */
const HIDDEN = '(hidden)';

/** A Config as the TOML table that would give it, but for its secrets: the names and units that users know. */
export function tableOf(config: Config): Table {
  return rename(
    ROOT,
    config,
    (name) => name,
    (value, { duration, secret }) => {
      if (duration) return formatDuration(value as number);
      return secret && value !== '' ? HIDDEN : value;
    },
  ) as Table;
}

/** `max_conf_num` -> `maxConfNum`. */
export function camel(name: string): string {
  return name.replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase());
}

/** A TOML key path as it is written: `image.registries."host:5000".plain_http`. */
export function dotted(path: readonly string[]): string {
  return path.map((part) => (/^[\w-]+$/.test(part) ? part : JSON.stringify(part))).join('.');
}

type Convert = (value: unknown, shape: Leaf) => unknown;

function rename(shape: Shape, value: unknown, name: (key: string) => string, leaf: Convert): unknown {
  if (shape.kind === 'leaf') return Array.isArray(value) ? Object.freeze([...value]) : leaf(value, shape);
  const table = value as Table;
  if (shape.kind === 'named') {
    const entries = Object.entries(table).map(([key, item]) => [key, rename(shape.value, item, name, leaf)]);
    return Object.freeze(Object.fromEntries(entries));
  }
  const entries = shape.keys.map((key) => {
    const found = table[key.name] ?? table[camel(key.name)];
    return [name(key.name), rename(key.shape, found, name, leaf)];
  });
  return Object.freeze(Object.fromEntries(entries));
}

function shapeOf(node: v.GenericSchema): Shape {
  const inner = unwrapped(node);
  if (isObject(inner)) {
    return {
      kind: 'section',
      keys: Object.entries(inner.entries).map(([name, entry]) => keyOf(name, entry)),
    };
  }
  if (isRecord(inner)) return { kind: 'named', value: shapeOf(inner.value) };
  const { duration, secret } = v.getMetadata(inner);
  return {
    kind: 'leaf',
    expected: expectedOf(inner),
    duration: duration === true,
    secret: secret === true,
  };
}

function keyOf(name: string, entry: v.GenericSchema): Key {
  const inner = unwrapped(entry);
  const { reloadable, example } = v.getMetadata(inner);
  const shape = shapeOf(entry);
  return {
    name,
    description: v.getDescription(inner) ?? '',
    reloadable: reloadable === true,
    example: typeof example === 'string' ? example : '',
    byDefault: shape.kind === 'section' ? undefined : v.getDefault(entry as v.GenericSchema),
    shape,
  };
}

function unwrapped(node: v.GenericSchema): v.GenericSchema {
  return 'wrapped' in node ? (node.wrapped as v.GenericSchema) : node;
}

function expectedOf(node: v.GenericSchema): string {
  return 'message' in node && typeof node.message === 'string' ? node.message : '';
}

function isObject(
  node: v.GenericSchema,
): node is v.GenericSchema & { entries: Record<string, v.GenericSchema> } {
  return node.type === 'object' && 'entries' in node;
}

function isRecord(node: v.GenericSchema): node is v.GenericSchema & { value: v.GenericSchema } {
  return node.type === 'record' && 'value' in node;
}
