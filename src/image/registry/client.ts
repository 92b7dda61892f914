import { SkiffError } from '../../base/errors.ts';
import { digestOf, isDigest, verifyBytes } from '../digest.ts';
import { MANIFEST_TYPES } from '../manifest.ts';
import { formatReference, type Reference, repositoryOf } from '../reference.ts';
import type { AuthConfig, TlsOptions } from '../types.ts';
import { Authorizer } from './auth.ts';
import { parseChallenges } from './challenge.ts';
import { type Endpoints, hostOf } from './endpoint.ts';
import { RegistryError, statusError } from './errors.ts';
import { type HttpAnswer, type HttpCall, type HttpClient, readBody } from './http.ts';
import { type RetryOptions, retrying } from './retry.ts';

/** Registries need not take manifests over 4 MiB (distribution-spec, "Pushing Manifests"), so neither do we. */
const MANIFEST_BYTES = 4 << 20;
const CONFIG_BYTES = 16 << 20;

export interface Fetched {
  bytes: Buffer;
  mediaType: string;
  digest: string;
}

/** All that another thread needs to fetch a blob itself. */
export interface BlobSource {
  url: string;
  headers: Record<string, string>;
  tls: Record<string, TlsOptions>;
  digest: string;
  /** Bytes, as the manifest declares them. */
  size: number;
  /** For messages: the image that it belongs to. */
  image: string;
}

export interface RegistryOptions {
  reference: Reference;
  auth: AuthConfig | null;
  tls: Record<string, TlsOptions>;
  retry: RetryOptions;
}

/** One repository of one registry, for the length of one pull (OCI distribution-spec 1.1, "Pull"). */
export class RegistryClient {
  readonly #options: RegistryOptions;
  readonly #http: HttpClient;
  readonly #endpoints: Endpoints;
  readonly #authorizer: Authorizer;
  readonly #name: string;

  constructor(options: RegistryOptions, deps: { http: HttpClient; endpoints: Endpoints }) {
    this.#options = options;
    this.#http = deps.http;
    this.#endpoints = deps.endpoints;
    this.#name = formatReference(options.reference);
    const { domain, path } = options.reference;
    this.#authorizer = new Authorizer(
      { domain, scope: `repository:${path}:pull`, auth: options.auth },
      { http: deps.http },
    );
  }

  /** A manifest or index by tag or digest, verified where a digest says what it must be. */
  async manifest(tagOrDigest: string, signal: AbortSignal): Promise<Fetched> {
    const action = `fetch manifest ${tagOrDigest} of ${repositoryOf(this.#options.reference)}`;
    const { answer, bytes } = await this.#fetch(
      { path: `manifests/${tagOrDigest}`, accept: MANIFEST_TYPES.join(', '), limit: MANIFEST_BYTES, action },
      signal,
    );
    const digest = isDigest(tagOrDigest) ? tagOrDigest : digestOf(bytes);
    verifyBytes(bytes, digest, `manifest of ${this.#name}`);
    const claimed = answer.headers['docker-content-digest'];
    if (!isDigest(tagOrDigest) && typeof claimed === 'string' && isDigest(claimed))
      verifyBytes(bytes, claimed, `manifest of ${this.#name}`);
    const type = answer.headers['content-type'];
    return { bytes, digest, mediaType: (typeof type === 'string' ? type : '').split(';')[0]?.trim() ?? '' };
  }

  /** A small blob, such as an image configuration, verified. */
  async config(descriptor: { digest: string; size: number }, signal: AbortSignal): Promise<Buffer> {
    const action = `fetch configuration ${descriptor.digest} of ${this.#name}`;
    if (descriptor.size > CONFIG_BYTES)
      throw new SkiffError(
        'failed_precondition',
        `${action}: it has ${descriptor.size} bytes, too many for one`,
      );
    const { bytes } = await this.#fetch(
      { path: `blobs/${descriptor.digest}`, accept: '*/*', limit: CONFIG_BYTES, action },
      signal,
    );
    verifyBytes(bytes, descriptor.digest, `configuration of ${this.#name}`);
    return bytes;
  }

  /** Where another thread gets a blob, with the authorization of this moment. */
  async blobSource(descriptor: { digest: string; size: number }, signal: AbortSignal): Promise<BlobSource> {
    return {
      url: await this.#url(`blobs/${descriptor.digest}`, signal),
      headers: this.#authorizer.headers(),
      tls: this.#tls(),
      digest: descriptor.digest,
      size: descriptor.size,
      image: this.#name,
    };
  }

  /** Asks for fresh authorization after a blob was refused with 401; false where none is to be had. */
  async reauthorize(descriptor: { digest: string }, signal: AbortSignal): Promise<boolean> {
    const url = await this.#url(`blobs/${descriptor.digest}`, signal);
    const action = `authorize for ${this.#name}`;
    const answer = await this.#http.get({ url, headers: {}, signal, action });
    answer.body.destroy();
    return answer.status === 401 && (await this.#takeUp(answer, signal));
  }

  #fetch(
    request: { path: string; accept: string; limit: number; action: string },
    signal: AbortSignal,
  ): Promise<{ answer: HttpAnswer; bytes: Buffer }> {
    return retrying(this.#options.retry, signal, async () => {
      const url = await this.#url(request.path, signal);
      const call = (): HttpCall => ({
        url,
        headers: { accept: request.accept, ...this.#authorizer.headers() },
        signal,
        action: request.action,
      });
      let answer = await this.#http.getOk(call(), [401]);
      if (answer.status === 401) {
        answer.body.destroy();
        if (!(await this.#takeUp(answer, signal))) throw statusError(401, {}, request.action, '');
        answer = await this.#http.getOk(call());
      }
      return { answer, bytes: await readBody(answer, request.limit, call()) };
    });
  }

  async #takeUp(answer: HttpAnswer, signal: AbortSignal): Promise<boolean> {
    const challenges = parseChallenges(answer.headers['www-authenticate']);
    return this.#authorizer.answer(challenges, answer.url.origin, signal);
  }

  async #url(path: string, signal: AbortSignal): Promise<string> {
    const { domain, path: repository } = this.#options.reference;
    return `${await this.#endpoints.baseUrl(domain, signal)}/v2/${repository}/${path}`;
  }

  #tls(): Record<string, TlsOptions> {
    const host = hostOf(this.#options.reference.domain);
    const tls = this.#options.tls[host];
    return tls === undefined ? {} : { [host]: tls };
  }
}

/** True for the 401 of a blob whose token ran out: worth asking for another token. */
export function isUnauthorized(error: unknown): boolean {
  return error instanceof RegistryError
    ? error.status === 401
    : error instanceof SkiffError && error.code === 'unauthenticated';
}
