import { posix } from 'node:path';
import { parse, TomlError } from 'smol-toml';
import { SkiffError } from '../../base/errors.ts';
import { hostOf } from './host-name.ts';

/** One `[host."..."]` of a hosts.toml, or its root, as it stands there. Paths may be relative to the file. */
export interface HostEntry {
  /** `https` or `http`; '' in a root that names no server. */
  scheme: string;
  /** Host, port and API root: `mirror.example:5000/v2`; '' in a root that names no server. */
  address: string;
  pull: boolean;
  resolve: boolean;
  ca: string[];
  /** Files with certificate and key; '' = the key is in the certificate's file. */
  clients: { cert: string; key: string }[];
  /** Undefined where it was not said. */
  skipVerify: boolean | undefined;
  headers: Record<string, string>;
  dialTimeoutMs: number | undefined;
}

export interface HostsFile {
  /** In the order of the file. */
  hosts: HostEntry[];
  /** Tried after them. */
  server: HostEntry;
}

const CAPABILITIES = ['pull', 'resolve', 'push', 'referrers'];
const NANOSECONDS: Record<string, number> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** Parses a hosts.toml (containerd docs/hosts.md). Keys that it does not know are for others. */
export function parseHostsFile(text: string, file: string): HostsFile {
  try {
    const root = parse(text) as Record<string, unknown>;
    const tables = root.host === undefined ? {} : table(root.host, 'host');
    return {
      // smol-toml keeps the order of the file, and no URL is an integer, which would come first.
      hosts: Object.entries(tables).map(([url, value]) =>
        entryOf(url, table(value, `host."${url}"`), `host."${url}"`),
      ),
      server: entryOf(asText(root.server ?? '', 'server'), root, ''),
    };
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw SkiffError.from(cause, `read ${file}`, 'failed_precondition');
    // Its message goes on with the lines around the fault, which may hold a header's secret.
    const reason = cause.message.split('\n')[0]?.replace(/^Invalid TOML document: /, '');
    throw new SkiffError(
      'failed_precondition',
      `read ${file}:${cause.line}:${cause.column}: not TOML: ${reason}`,
    );
  }
}

/** An entry that says nothing but its address, '' = none. */
export function plainEntry(address = ''): HostEntry {
  return entryOf(address, {}, '');
}

function entryOf(url: string, settings: Record<string, unknown>, where: string): HostEntry {
  const key = (name: string) => (where === '' ? name : `${where}.${name}`);
  const { scheme, address } = addressOf(url, settings.override_path === true);
  const named = list(settings.capabilities ?? [], key('capabilities')).map((one) => one.toLowerCase());
  for (const one of named)
    if (!CAPABILITIES.includes(one))
      throw bad(key('capabilities'), `one of ${CAPABILITIES.join(', ')}, found "${one}"`);
  const { skip_verify: skipVerify, dial_timeout: dialTimeout } = settings;
  if (skipVerify !== undefined && typeof skipVerify !== 'boolean')
    throw bad(key('skip_verify'), 'true or false');
  return {
    scheme,
    address,
    pull: named.length === 0 || named.includes('pull'),
    resolve: named.length === 0 || named.includes('resolve'),
    ca: list(settings.ca ?? [], key('ca')),
    clients: clientsOf(settings.client ?? [], key('client')),
    skipVerify,
    headers: headersOf(settings.header ?? {}, key('header')),
    dialTimeoutMs: dialTimeout === undefined ? undefined : durationOf(dialTimeout, key('dial_timeout')),
  };
}

function addressOf(text: string, overridePath: boolean): { scheme: string; address: string } {
  if (text === '') return { scheme: '', address: '' };
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `https://${text}`);
  if (url === null || !/^https?:$/.test(url.protocol))
    throw new SkiffError('failed_precondition', `${JSON.stringify(text)} is no http or https URL`);
  const path = posix.normalize(url.pathname).replace(/\/+$/, '');
  const root = overridePath || path.endsWith('/v2') ? path : `${path}/v2`;
  return { scheme: url.protocol.slice(0, -1), address: `${hostOf(url.host)}${root}` };
}

/** "a.pem", ["a.pem", "b.pem"] or [["a.cert", "a.key"], ["b.pem", ""]]. */
function clientsOf(value: unknown, key: string): HostEntry['clients'] {
  const items: unknown[] = Array.isArray(value) ? value : [value];
  return items.map((item) => {
    const pair = list(item, key);
    if (Array.isArray(item) ? pair.length !== 2 : pair.length !== 1)
      throw bad(key, 'a path, paths, or pairs of certificate and key');
    return { cert: pair[0] ?? '', key: pair[1] ?? '' };
  });
}

function headersOf(value: unknown, key: string): Record<string, string> {
  const entries = Object.entries(table(value, key));
  return Object.fromEntries(
    entries.map(([name, item]) => [name.toLowerCase(), list(item, `${key}.${name}`).join(', ')]),
  );
}

/** A duration of Go's in milliseconds: "1s", "1m30s", "1.5s". */
function durationOf(value: unknown, key: string): number {
  const text = typeof value === 'string' ? value : '';
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text)
    throw bad(key, 'a time such as "5s"');
  const ns = parts.reduce((sum, [, amount, unit = '']) => sum + Number(amount) * (NANOSECONDS[unit] ?? 0), 0);
  return Math.max(1, Math.round(ns / 1e6));
}

/** One text or a list of texts. */
function list(value: unknown, key: string): string[] {
  const items: unknown[] = Array.isArray(value) ? value : [value];
  return items.map((item) => asText(item, key));
}

function asText(value: unknown, key: string): string {
  if (typeof value !== 'string') throw bad(key, 'a text');
  return value;
}

function table(value: unknown, key: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw bad(key, 'a table');
  return value as Record<string, unknown>;
}

function bad(key: string, expected: string): SkiffError {
  return new SkiffError('failed_precondition', `${key}: expected ${expected}`);
}
