import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type ErrorCode, SkiffError } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import { CNI_ERROR, CNI_VERSIONS, type CniCommand, type CniErrorObject } from '../../oci/cni-spec.ts';
import { run } from '../process.ts';

/** Directories in which plugins find the tools that they call (iptables, nft); a daemon's PATH may be empty. */
const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export interface PluginCall {
  command: CniCommand;
  /** File name of the plugin. */
  type: string;
  /** The request configuration for stdin. */
  config: Record<string, unknown>;
  /** CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME, CNI_ARGS, as far as the command takes them. */
  env: Record<string, string>;
  signal?: AbortSignal;
}

/** Runs CNI plugins as SPEC.md section 2 says: parameters by environment, configuration on stdin, result on stdout. */
export class PluginRunner {
  readonly #binDirs: string[];
  readonly #timeoutMs: number;
  readonly #log: Log;
  /** Supported versions by `path:mtime`, so that a replaced binary is asked again. */
  readonly #versions = new Map<string, string[]>();

  constructor(options: { binDirs: string[]; timeoutMs: number }, deps: { log: Log }) {
    this.#binDirs = options.binDirs;
    this.#timeoutMs = options.timeoutMs;
    this.#log = deps.log;
  }

  /** The path of the plugin `type`: the first executable file of that name in the plugin directories. */
  async find(type: string): Promise<string> {
    for (const directory of this.#binDirs) {
      const path = join(directory, type);
      try {
        await access(path, constants.X_OK);
        if ((await stat(path)).isFile()) return path;
      } catch {
        // Not in this directory: the next one may have it.
      }
    }
    throw new SkiffError(
      'failed_precondition',
      `CNI plugin "${type}" not found in ${this.#binDirs.join(', ')}: install it there`,
    );
  }

  /**
   * stdout of one call. A plugin that fails, or does not end in time, is a
   * SkiffError that names plugin and command; `pluginErrorCode` tells the
   * plugin's own code. On a timeout or an abort the plugin and what it started are dead.
   */
  async exec(call: PluginCall): Promise<Buffer> {
    const action = `CNI plugin ${call.type} (${call.command})`;
    const path = await this.find(call.type);
    const startedAt = performance.now();
    const ended = await run(path, [], {
      env: { ...this.#baseEnv(), CNI_COMMAND: call.command, ...call.env },
      stdin: JSON.stringify(call.config),
      timeoutMs: this.#timeoutMs,
      signal: call.signal,
    }).catch((cause: unknown) => {
      throw SkiffError.from(cause, action);
    });
    const ms = Math.round(performance.now() - startedAt);
    const stderr = ended.stderr.toString('utf8').trim();
    this.#log.debug({ plugin: call.type, command: call.command, code: ended.code, ms, stderr }, 'cni plugin');
    if (ended.timedOut)
      throw new SkiffError(
        'deadline_exceeded',
        `${action}: no answer within ${this.#timeoutMs / 1000} s, killed`,
      );
    if (call.signal?.aborted) throw SkiffError.from(call.signal.reason, action, 'canceled');
    if (ended.code !== 0) throw pluginError(action, ended);
    return ended.stdout;
  }

  /** The versions that plugin `type` says it supports (VERSION). */
  async supportedVersions(type: string, signal?: AbortSignal): Promise<string[]> {
    const path = await this.find(type);
    const key = `${path}:${(await stat(path)).mtimeMs}`;
    const known = this.#versions.get(key);
    if (known !== undefined) return known;
    const cniVersion = CNI_VERSIONS[CNI_VERSIONS.length - 1]!;
    // Plugins of old check these variables before they look at the command.
    const env = { CNI_NETNS: 'dummy', CNI_IFNAME: 'dummy', CNI_CONTAINERID: 'dummy' };
    const stdout = await this.exec({ command: 'VERSION', type, config: { cniVersion }, env, signal });
    const versions = parseVersions(stdout, type);
    this.#versions.set(key, versions);
    return versions;
  }

  #baseEnv(): Record<string, string> {
    const env: Record<string, string> = {};
    for (const [key, value] of Object.entries(process.env))
      if (value !== undefined && !key.startsWith('CNI_')) env[key] = value;
    const path = env.PATH === undefined || env.PATH === '' ? SYSTEM_PATH : `${env.PATH}:${SYSTEM_PATH}`;
    return { ...env, PATH: path, CNI_PATH: this.#binDirs.join(':') };
  }
}

/** The code of the error object that a plugin printed (`CNI_ERROR`), or undefined. */
export function pluginErrorCode(error: unknown): number | undefined {
  if (!(error instanceof SkiffError)) return undefined;
  const cause = error.cause;
  if (cause instanceof SkiffError) return pluginErrorCode(cause);
  return isErrorObject(cause) ? cause.code : undefined;
}

interface Ended {
  code: number | null;
  signal: number | null;
  stdout: Buffer;
  stderr: Buffer;
}

function pluginError(action: string, ended: Ended): SkiffError {
  const printed = errorObject(ended.stdout);
  if (printed !== undefined) {
    const details = printed.details ? `; ${printed.details}` : '';
    const message = `${action}: ${printed.msg}${details} (code ${printed.code})`;
    return new SkiffError(codeOf(printed.code), message, { cause: printed });
  }
  const how = ended.signal === null ? `exit code ${ended.code}` : `killed by signal ${ended.signal}`;
  const said = [ended.stderr, ended.stdout]
    .map((out) => out.toString('utf8').trim())
    .find((out) => out !== '');
  return new SkiffError('internal', `${action}: ${how}${said ? `: ${said.slice(0, 1000)}` : ''}`);
}

function errorObject(stdout: Buffer): CniErrorObject | undefined {
  try {
    const value: unknown = JSON.parse(stdout.toString('utf8'));
    return isErrorObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isErrorObject(value: unknown): value is CniErrorObject {
  if (typeof value !== 'object' || value === null) return false;
  return 'code' in value && typeof value.code === 'number' && 'msg' in value && typeof value.msg === 'string';
}

function codeOf(code: number): ErrorCode {
  switch (code) {
    case CNI_ERROR.incompatibleVersion:
    case CNI_ERROR.unsupportedField:
    case CNI_ERROR.invalidNetworkConfig:
      return 'failed_precondition';
    case CNI_ERROR.tryAgainLater:
    case CNI_ERROR.notAvailable:
    case CNI_ERROR.limitedConnectivity:
      return 'unavailable';
    default:
      return 'internal';
  }
}

function parseVersions(stdout: Buffer, type: string): string[] {
  try {
    const value = JSON.parse(stdout.toString('utf8')) as { supportedVersions?: unknown };
    const versions = value.supportedVersions;
    if (Array.isArray(versions)) return versions.filter((version) => typeof version === 'string');
  } catch {
    // Said below.
  }
  throw new SkiffError('internal', `CNI plugin ${type} (VERSION): the answer has no supportedVersions`);
}
