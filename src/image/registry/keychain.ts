import type { Log } from '../../base/log.ts';
import type { AuthConfig, RegistryConfig } from '../types.ts';
import { type Credentials, credentialsOf, isMeantFor } from './credentials.ts';
import { dockerCredentials } from './docker-config.ts';
import { isSameRegistry } from './host-name.ts';

export interface KeychainOptions {
  /** What came with the pull. */
  auth: AuthConfig | null;
  registries: RegistryConfig;
  /** Docker's config.json, '' = none. */
  globalAuthFile: string;
}

/**
 * The credentials of one pull, by host: those that came with it, then those of
 * our configuration, then those of the docker configuration file.
 */
export class Keychain {
  readonly #options: KeychainOptions;
  readonly #log: Log;
  readonly #known = new Map<string, Promise<Credentials | null>>();

  constructor(options: KeychainOptions, deps: { log: Log }) {
    this.#options = options;
    this.#log = deps.log;
  }

  /** Of `host`, for the repository `path`; null = anonymous. */
  get(host: string, path: string, signal: AbortSignal): Promise<Credentials | null> {
    const key = `${host}/${path}`;
    const known = this.#known.get(key) ?? this.#find(host, path, signal);
    this.#known.set(key, known);
    return known;
  }

  async #find(host: string, path: string, signal: AbortSignal): Promise<Credentials | null> {
    const { auth, registries, globalAuthFile } = this.#options;
    // Without an address they are for the image, wherever hosts.toml says that it is served, as containerd has it.
    const given = auth !== null && isMeantFor(auth.serverAddress, host) ? credentialsOf(auth) : null;
    if (given !== null) return given;
    const settings = Object.entries(registries).find(([name]) => isSameRegistry(name, host))?.[1];
    const own =
      settings === undefined
        ? null
        : credentialsOf({ ...settings, registryToken: '' }, `image.registries."${host}"`);
    if (own !== null || globalAuthFile === '') return own;
    try {
      return await dockerCredentials(globalAuthFile, { host, path }, signal);
    } catch (cause) {
      signal.throwIfAborted();
      // A helper that is broken must not stop the pulls that need no credentials; a 401 stops the others.
      this.#log.warn({ err: cause, host }, 'no credentials from global_auth_file; the pull goes on without');
      return null;
    }
  }
}
