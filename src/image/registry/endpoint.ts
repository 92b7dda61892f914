import { readFile } from 'node:fs/promises';
import { SkiffError } from '../../base/errors.ts';
import type { RegistryConfig, RegistryHost, TlsOptions } from '../types.ts';
import type { HttpClient } from './http.ts';

/** docker.io is a name; the registry behind it answers here. */
const HUB_DOMAIN = 'docker.io';
const HUB_HOST = 'registry-1.docker.io';
/** What an HTTPS server of Go's library answers to plain HTTP. */
const WRONG_SCHEME = 400;

/** Where the registry of a domain answers: `https://registry-1.docker.io`. */
export class Endpoints {
  readonly #config: RegistryConfig;
  readonly #http: HttpClient;
  readonly #probed = new Map<string, string>();

  constructor(config: RegistryConfig, deps: { http: HttpClient }) {
    this.#config = config;
    this.#http = deps.http;
  }

  /** Loopback hosts are asked whether they speak http, as containerd does for localhost; all others must be named for it. */
  async baseUrl(domain: string, signal: AbortSignal): Promise<string> {
    const host = hostOf(domain);
    if (settingsOf(this.#config, domain)?.plainHttp) return `http://${host}`;
    if (!isLoopback(host)) return `https://${host}`;
    const known = this.#probed.get(host);
    if (known !== undefined) return known;
    const found = await this.#probe(host, signal);
    this.#probed.set(host, found);
    return found;
  }

  async #probe(host: string, signal: AbortSignal): Promise<string> {
    try {
      if ((await this.#ping(`http://${host}`, signal)) !== WRONG_SCHEME) return `http://${host}`;
    } catch (plain) {
      signal.throwIfAborted();
      await this.#ping(`https://${host}`, signal).catch(() => {
        throw plain;
      });
    }
    return `https://${host}`;
  }

  /** The status of the API's root (distribution-spec, end-1). */
  async #ping(base: string, signal: AbortSignal): Promise<number> {
    const answer = await this.#http.get({
      url: `${base}/v2/`,
      headers: {},
      signal,
      action: `reach registry ${base}`,
    });
    answer.body.destroy();
    return answer.status;
  }
}

/** The host that serves a reference's domain. */
export function hostOf(domain: string): string {
  return domain === HUB_DOMAIN ? HUB_HOST : domain;
}

/** TLS settings by host, for the HTTP client. */
export async function tlsByHost(config: RegistryConfig): Promise<Record<string, TlsOptions>> {
  const entries = Object.entries(config).filter(([, host]) => host.skipVerify || host.caFile !== '');
  const settled = entries.map(async ([domain, { skipVerify, caFile }]): Promise<[string, TlsOptions]> => {
    try {
      return [hostOf(domain), { ca: caFile === '' ? null : await readFile(caFile, 'utf8'), skipVerify }];
    } catch (cause) {
      throw SkiffError.from(cause, `read ca_file of registry ${domain}`, 'failed_precondition');
    }
  });
  return Object.fromEntries(await Promise.all(settled));
}

function settingsOf(config: RegistryConfig, domain: string): RegistryHost | undefined {
  return config[domain] ?? config[hostOf(domain)];
}

/** localhost, 127.0.0.0/8 and ::1, with or without a port. */
export function isLoopback(host: string): boolean {
  const url = URL.parse(`http://${host}`);
  if (url === null) throw new SkiffError('invalid_argument', `reach registry ${host}: not a host name`);
  return url.hostname === 'localhost' || url.hostname === '[::1]' || /^127(\.\d+){3}$/.test(url.hostname);
}
