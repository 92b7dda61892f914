import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, SkiffError } from '../../base/errors.ts';
import { readFileIfThere } from '../../base/files.ts';
import { type HostsFile, parseHostsFile, plainEntry } from './hosts-file.ts';

/** What a directory of certs.d says; `directory` is where its relative paths begin. */
export interface HostDirectory extends HostsFile {
  directory: string;
}

/**
 * The directory of `domain` below the first root of `configPath` (roots are
 * separated by ":") that has one: `host_port_`, `host:port`, `_default`. Null where
 * none has. Read anew for each pull, so that a change needs no restart.
 */
export async function readHostDirectory(configPath: string, domain: string): Promise<HostDirectory | null> {
  for (const root of configPath.split(':').filter((path) => path !== '')) {
    for (const name of namesOf(domain)) {
      const directory = join(root, name);
      if (await isDirectory(directory)) return read(directory);
    }
  }
  return null;
}

function namesOf(domain: string): string[] {
  const withPort = domain.replace(/:(\d+)$/, '_$1_');
  return [...new Set([withPort, domain, '_default'])];
}

async function read(directory: string): Promise<HostDirectory> {
  const file = join(directory, 'hosts.toml');
  const text = await readFileIfThere(file);
  if (text !== undefined && text !== '') return { directory, ...parseHostsFile(text, file) };
  return { directory, hosts: [], server: await certificateFiles(directory) };
}

/** Docker's pattern: *.crt are authorities, NAME.cert with NAME.key client certificates. */
async function certificateFiles(directory: string) {
  const names = (await readdir(directory)).sort();
  const clients = names
    .filter((name) => name.endsWith('.cert'))
    .map((cert) => {
      const key = `${cert.slice(0, -'.cert'.length)}.key`;
      return { cert, key: names.includes(key) ? key : '' };
    });
  return { ...plainEntry(), ca: names.filter((name) => name.endsWith('.crt')), clients };
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT' || errnoOf(cause) === 'ENOTDIR') return false;
    throw SkiffError.from(cause, 'read the settings of the registry', 'failed_precondition');
  }
}
