import { readdir, readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { errnoOf, SkiffError } from '../../base/errors.ts';
import type { CniNetworkList, CniPluginConf } from '../../oci/cni-spec.ts';
import { isVersion, spokenVersions } from './version.ts';

const NETWORK_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const EXTENSIONS = ['.conf', '.conflist', '.json'];

/** A network and the file that it was read from. */
export interface LoadedNetwork {
  file: string;
  list: CniNetworkList;
}

/**
 * The networks of `confDir` in the order of their file names (as libcni sorts
 * them), at most `maxConfNum` (0 = all). The first one is the default network.
 * The first file that is not valid ends it with an error that names the file,
 * as the kubelet must see a broken configuration rather than another network.
 */
export async function loadNetworks(confDir: string, maxConfNum: number): Promise<LoadedNetwork[]> {
  const names = await configFiles(confDir, EXTENSIONS);
  const wanted = maxConfNum > 0 ? names.slice(0, maxConfNum) : names;
  const networks: LoadedNetwork[] = [];
  for (const name of wanted) networks.push(await loadNetwork(join(confDir, name)));
  return networks;
}

async function loadNetwork(file: string): Promise<LoadedNetwork> {
  const action = `load CNI configuration ${file}`;
  try {
    const text = await readFile(file, 'utf8');
    if (!file.endsWith('.conflist')) return { file, list: parseConf(text) };
    return { file, list: await withPluginFiles(parseConflist(text), text, join(file, '..')) };
  } catch (cause) {
    throw SkiffError.from(cause, action, 'failed_precondition');
  }
}

/** Parses a network configuration list (`.conflist`). */
export function parseConflist(text: string): CniNetworkList {
  const raw = parseObject(text, 'the file');
  const plugins = raw.plugins;
  if (plugins !== undefined && !Array.isArray(plugins)) throw invalid('"plugins" must be a list');
  if (plugins?.length === 0) throw invalid('"plugins" is empty: name at least one plugin');
  if (plugins === undefined && bool(raw, 'loadOnlyInlinedPlugins'))
    throw invalid('"loadOnlyInlinedPlugins" is true and there is no "plugins"');
  return {
    name: networkName(raw),
    ...versionsOf(raw),
    disableCheck: bool(raw, 'disableCheck'),
    disableGC: bool(raw, 'disableGC'),
    plugins: (plugins ?? []).map((plugin: unknown, i: number) => parsePlugin(plugin, `plugins[${i}]`)),
  };
}

/** Parses a single plugin's configuration (`.conf`, `.json`) as a list of one. */
export function parseConf(text: string): CniNetworkList {
  const raw = parseObject(text, 'the file');
  if (raw.type === undefined && raw.plugins !== undefined)
    throw invalid('this is a list of plugins: rename the file to end in .conflist');
  return {
    name: networkName(raw),
    ...versionsOf(raw),
    disableCheck: false,
    disableGC: false,
    plugins: [parsePlugin(raw, 'the file')],
  };
}

/** Plugins from `<confDir>/<network>/*.conf` come after those of the list (SPEC.md 1.1.0, loadOnlyInlinedPlugins). */
async function withPluginFiles(list: CniNetworkList, text: string, confDir: string): Promise<CniNetworkList> {
  const plugins = [...list.plugins];
  if (!bool(parseObject(text, 'the file'), 'loadOnlyInlinedPlugins')) {
    const directory = join(confDir, list.name);
    for (const name of await configFiles(directory, ['.conf'])) {
      const file = join(directory, name);
      plugins.push(parsePlugin(parseObject(await readFile(file, 'utf8'), file), file));
    }
  }
  if (plugins.length === 0) throw invalid('no plugins: add a "plugins" list');
  return { ...list, plugins };
}

async function configFiles(directory: string, extensions: string[]): Promise<string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries
      .filter((entry) => !entry.isDirectory() && extensions.includes(extname(entry.name)))
      .map((entry) => entry.name)
      .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT' || errnoOf(cause) === 'ENOTDIR') return [];
    throw SkiffError.from(cause, `read CNI configuration directory ${directory}`, 'failed_precondition');
  }
}

function parseObject(text: string, what: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new SkiffError('failed_precondition', `${what} is not JSON: ${(cause as Error).message}`, {
      cause,
    });
  }
  if (!isObject(value)) throw invalid(`${what} must be a JSON object`);
  return value;
}

function parsePlugin(value: unknown, where: string): CniPluginConf {
  if (!isObject(value)) throw invalid(`${where} must be an object`);
  const { type, capabilities } = value;
  if (typeof type !== 'string' || type === '') throw invalid(`${where} has no "type"`);
  if (/[/\\\0]/.test(type) || type === '.' || type === '..')
    throw invalid(`${where}: type "${type}" is not the file name of a plugin`);
  if (capabilities !== undefined && !isObject(capabilities))
    throw invalid(`${where}: "capabilities" must be an object`);
  return { ...value, type } as CniPluginConf;
}

function networkName(raw: Record<string, unknown>): string {
  if (typeof raw.name !== 'string' || raw.name === '') throw invalid('there is no "name"');
  if (!NETWORK_NAME.test(raw.name))
    throw invalid(`name "${raw.name}" has characters that CNI does not allow`);
  return raw.name;
}

/** The newest version that the configuration and this runtime share; without any it is 0.1.0, as SPEC.md 0.2.0 said. */
function versionsOf(raw: Record<string, unknown>): { cniVersion: string; cniVersions: string[] } {
  const single = raw.cniVersion ?? '';
  if (typeof single !== 'string') throw invalid('"cniVersion" must be a string');
  const several = raw.cniVersions ?? [];
  if (!Array.isArray(several)) throw invalid('"cniVersions" must be a list of strings');
  const given = [...several, ...(single === '' ? [] : [single])];
  for (const version of given)
    if (typeof version !== 'string' || !isVersion(version))
      throw invalid(`version ${JSON.stringify(version)} is not of the form "1.0.0"`);
  if (given.length === 0) return { cniVersion: '0.1.0', cniVersions: [] };
  const spoken = spokenVersions(given);
  const newest = spoken[spoken.length - 1];
  if (newest === undefined)
    throw invalid(`version ${given.join(', ')} is newer than 1.1.0, the newest known`);
  return { cniVersion: newest, cniVersions: several.length > 0 ? spoken : [] };
}

/** libcni also takes the strings "true" and "false". */
function bool(raw: Record<string, unknown>, key: string): boolean {
  const value = raw[key] ?? false;
  if (typeof value === 'boolean') return value;
  if (typeof value === 'string' && /^(true|false)$/i.test(value)) return value.toLowerCase() === 'true';
  throw invalid(`"${key}" must be true or false`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function invalid(message: string): SkiffError {
  return new SkiffError('failed_precondition', message);
}
