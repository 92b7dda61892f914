import { readFile } from 'node:fs/promises';
import { SkiffError } from '../../base/errors.ts';
import { findProgram } from '../../base/program.ts';
import { run } from '../../os/process.ts';
import { type Credentials, credentialsOf, hostOfAddress } from './credentials.ts';
import { isSameRegistry } from './host-name.ts';

/** How docker's files and helpers name Docker Hub. */
const HUB_ADDRESS = 'https://index.docker.io/v1/';
const HELPER_TIMEOUT_MS = 30_000;
const HELPER_OUTPUT_BYTES = 65_536;
const HELPER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

interface DockerConfig {
  auths?: Record<string, unknown>;
  credHelpers?: Record<string, unknown>;
  credsStore?: unknown;
}

/** What is asked for: a repository, `registry.example:5000/team/app`. */
export interface Wanted {
  host: string;
  path: string;
}

/**
 * Credentials out of a docker configuration file (docker's config.json, or an
 * auth.json whose keys may name repositories), read anew each time: from a
 * credential helper where one is named, else from `auths`. Null where it has none.
 */
export async function dockerCredentials(
  file: string,
  wanted: Wanted,
  signal: AbortSignal,
): Promise<Credentials | null> {
  const config = await readConfig(file);
  for (const helper of helpersFor(config, wanted.host)) {
    const found = await askHelper(helper, serverAddress(wanted.host), signal);
    if (found !== null) return found;
  }
  const entry = bestEntry(config.auths ?? {}, wanted);
  if (entry === undefined) return null;
  const text = (name: string) => (typeof entry[name] === 'string' ? entry[name] : '');
  return credentialsOf(
    {
      username: text('username'),
      password: text('password'),
      auth: text('auth'),
      identityToken: text('identitytoken'),
      registryToken: text('registrytoken'),
    },
    `the credentials for ${wanted.host} in ${file}`,
  );
}

async function readConfig(file: string): Promise<DockerConfig> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw SkiffError.from(cause, 'read global_auth_file', 'failed_precondition');
  }
  try {
    const json: unknown = JSON.parse(text);
    if (typeof json === 'object' && json !== null && !Array.isArray(json)) return json as DockerConfig;
  } catch {
    // JSON.parse quotes the text around the fault in its message: here that is a secret.
  }
  throw new SkiffError('failed_precondition', `read global_auth_file: ${file} is not a JSON object`);
}

/** The helper of this host, then the one for all hosts. */
function helpersFor(config: DockerConfig, host: string): string[] {
  const own = Object.entries(config.credHelpers ?? {}).find(([address]) =>
    isSameRegistry(hostOfAddress(address), host),
  )?.[1];
  return [own, config.credsStore].filter((name): name is string => typeof name === 'string' && name !== '');
}

/** The longest key that is the repository or above it: `host/team/app`, `host/team`, `host`, `https://host/v1/`. */
function bestEntry(auths: Record<string, unknown>, wanted: Wanted): Record<string, unknown> | undefined {
  const fitting = Object.entries(auths)
    .map(([key, entry]) => ({ entry, path: pathBelow(key, wanted) }))
    .filter((candidate): candidate is { entry: unknown; path: string } => candidate.path !== undefined)
    .sort((a, b) => b.path.length - a.path.length);
  const best = fitting[0]?.entry;
  return typeof best === 'object' && best !== null ? (best as Record<string, unknown>) : undefined;
}

/** What `key` has after its host, where it stands for `wanted`. */
function pathBelow(key: string, wanted: Wanted): string | undefined {
  const host = hostOfAddress(key);
  if (!isSameRegistry(host, wanted.host)) return undefined;
  const path = key
    .replace(/^https?:\/\//, '')
    .slice(host.length + 1)
    .replace(/\/+$/, '');
  if (path === '' || /^v[12]$/.test(path)) return '';
  return wanted.path === path || wanted.path.startsWith(`${path}/`) ? path : undefined;
}

function serverAddress(host: string): string {
  return isSameRegistry(host, 'docker.io') ? HUB_ADDRESS : host;
}

/** `docker-credential-<helper> get`: the address on stdin, JSON or a refusal on stdout. */
async function askHelper(helper: string, address: string, signal: AbortSignal): Promise<Credentials | null> {
  const name = `docker-credential-${helper}`;
  const action = `ask ${name} for the credentials of ${address}`;
  const program = HELPER_NAME.test(helper) ? await findProgram(name) : undefined;
  if (program === undefined)
    throw new SkiffError('failed_precondition', `${action}: there is no such program in PATH`);
  const { code, stdout, stderr, timedOut } = await run(program, ['get'], {
    stdin: address,
    signal,
    timeoutMs: HELPER_TIMEOUT_MS,
    maxOutput: HELPER_OUTPUT_BYTES,
  });
  if (timedOut)
    throw new SkiffError('failed_precondition', `${action}: no answer in ${HELPER_TIMEOUT_MS / 1000} s`);
  if (code === 0) return helperAnswer(stdout.toString('utf8'), action);
  const says = (stdout.toString('utf8').trim() || stderr.toString('utf8').trim()).slice(0, 200);
  if (/credentials not found/i.test(says)) return null;
  throw new SkiffError('failed_precondition', `${action}: it ended with ${code}: ${says}`);
}

function helperAnswer(text: string, action: string): Credentials | null {
  try {
    const { Username, Secret } = JSON.parse(text) as { Username?: unknown; Secret?: unknown };
    if (typeof Username === 'string' && typeof Secret === 'string')
      return credentialsOf({
        username: Username,
        password: Secret,
        auth: '',
        identityToken: '',
        registryToken: '',
      });
  } catch {
    // What it printed may be a secret, so the message does not show it.
  }
  throw new SkiffError('failed_precondition', `${action}: its answer is not JSON with Username and Secret`);
}
