import type { Log } from '../../base/log.ts';
import type { Reference } from '../reference.ts';
import type { AuthConfig } from '../types.ts';
import { RegistryClient } from './client.ts';
import { type EndpointSettings, endpointsOf } from './endpoint.ts';
import { HttpClient } from './http.ts';
import { Keychain } from './keychain.ts';
import type { RetryOptions } from './retry.ts';

/** What our configuration says of registries; read at the start of each pull. */
export interface RegistrySettings extends EndpointSettings {
  /** Docker's config.json or an auth.json, '' = none. */
  globalAuthFile: string;
}

export interface Connection {
  client: RegistryClient;
  close(): Promise<void>;
}

/** A client for the repository of `reference`, for one pull. */
export async function connectRegistry(
  options: {
    reference: Reference;
    auth: AuthConfig | null;
    settings: RegistrySettings;
    retry: RetryOptions;
    stallTimeoutMs: number;
  },
  deps: { log: Log },
): Promise<Connection> {
  const { reference, auth, settings, retry, stallTimeoutMs } = options;
  const { registries, globalAuthFile } = settings;
  const endpoints = await endpointsOf(reference.domain, settings);
  const http = new HttpClient({ stallTimeoutMs });
  const keychain = new Keychain({ auth, registries, globalAuthFile }, deps);
  const client = new RegistryClient({ reference, endpoints, retry }, { http, keychain, ...deps });
  return { client, close: () => http.close() };
}
