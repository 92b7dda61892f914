import { SkiffError } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import { digestOf, isDigest, verifyBytes } from '../digest.ts';
import { MANIFEST_TYPES } from '../manifest.ts';
import { formatReference, type Reference, repositoryOf } from '../reference.ts';
import { newAuthorization } from './auth.ts';
import type { BlobSource } from './blob.ts';
import type { Endpoint } from './endpoint.ts';
import { RegistryError } from './errors.ts';
import type { HttpAnswer, HttpClient } from './http.ts';
import type { Keychain } from './keychain.ts';
import { Peer } from './peer.ts';
import { type RetryOptions, retrying } from './retry.ts';

/** Registries need not take manifests over 4 MiB (distribution-spec, "Pushing Manifests"), so neither do we. */
const MANIFEST_BYTES = 4 << 20;
const CONFIG_BYTES = 16 << 20;

export interface Fetched {
  bytes: Buffer;
  mediaType: string;
  digest: string;
}

export interface RegistryOptions {
  reference: Reference;
  /** Where its content is to be had, in the order in which to ask. */
  endpoints: Endpoint[];
  retry: RetryOptions;
}

export interface RegistryDeps {
  http: HttpClient;
  keychain: Keychain;
  log: Log;
}

interface Request {
  path: string;
  accept: string;
  limit: number;
  action: string;
}

/** One repository with its mirrors, for the length of one pull (OCI distribution-spec 1.1, "Pull"). */
export class RegistryClient {
  readonly #options: RegistryOptions;
  readonly #deps: RegistryDeps;
  readonly #name: string;
  readonly #peers = new Map<Endpoint, Promise<Peer>>();
  /** Endpoints that did not answer: asked last from then on. */
  readonly #down = new Set<Endpoint>();

  constructor(options: RegistryOptions, deps: RegistryDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#name = formatReference(options.reference);
  }

  /** A manifest or index by tag or digest, verified where a digest says what it must be. */
  async manifest(tagOrDigest: string, signal: AbortSignal): Promise<Fetched> {
    const wanted = isDigest(tagOrDigest) ? tagOrDigest : '';
    const request = {
      path: `manifests/${tagOrDigest}`,
      accept: MANIFEST_TYPES.join(', '),
      limit: MANIFEST_BYTES,
      action: `fetch manifest ${tagOrDigest} of ${repositoryOf(this.#options.reference)}`,
    };
    return this.#first(wanted === '' ? 'resolve' : 'pull', request, signal, (answer, bytes) => {
      const digest = wanted === '' ? digestOf(bytes) : wanted;
      verifyBytes(bytes, digest, `manifest of ${this.#name}`);
      const claimed = answer.headers['docker-content-digest'];
      if (wanted === '' && typeof claimed === 'string' && isDigest(claimed))
        verifyBytes(bytes, claimed, `manifest of ${this.#name}`);
      const type = answer.headers['content-type'];
      return { bytes, digest, mediaType: (typeof type === 'string' ? type : '').split(';')[0]?.trim() ?? '' };
    });
  }

  /** A small blob, such as an image configuration, verified. */
  async config(descriptor: { digest: string; size: number }, signal: AbortSignal): Promise<Buffer> {
    const action = `fetch configuration ${descriptor.digest} of ${this.#name}`;
    if (descriptor.size > CONFIG_BYTES)
      throw new SkiffError(
        'failed_precondition',
        `${action}: it has ${descriptor.size} bytes, too many for one`,
      );
    const request = { path: `blobs/${descriptor.digest}`, accept: '*/*', limit: CONFIG_BYTES, action };
    return this.#first('pull', request, signal, (_, bytes) => {
      verifyBytes(bytes, descriptor.digest, `configuration of ${this.#name}`);
      return bytes;
    });
  }

  /** Where another thread gets a blob, with the authorization of this moment. */
  async blobSource(descriptor: { digest: string; size: number }, signal: AbortSignal): Promise<BlobSource> {
    const peers = await Promise.all(this.#able('pull').map((endpoint) => this.#peer(endpoint, signal)));
    return {
      peers: peers.map((peer) => peer.state),
      repository: this.#options.reference.path,
      digest: descriptor.digest,
      size: descriptor.size,
      image: this.#name,
    };
  }

  /** What the first endpoint that has it sends and `take` accepts; the last one's error where none does. */
  async #first<T>(
    capability: 'pull' | 'resolve',
    request: Request,
    signal: AbortSignal,
    take: (answer: HttpAnswer, bytes: Buffer) => T,
  ): Promise<T> {
    const endpoints = this.#able(capability);
    const refusals: string[] = [];
    for (const [index, endpoint] of endpoints.entries()) {
      const isLast = index === endpoints.length - 1;
      // Rather the next endpoint than a second try.
      const retry = { ...this.#options.retry, ...(isLast ? {} : { attempts: 1 }) };
      try {
        return await retrying(retry, signal, async () => {
          const { answer, bytes } = await this.#fetch(endpoint, request, signal);
          return take(answer, bytes);
        });
      } catch (cause) {
        if (signal.aborted) throw cause;
        if (isLast) throw withRefusals(cause, refusals);
        const error = SkiffError.from(cause);
        if (error.code === 'unavailable') this.#down.add(endpoint);
        refusals.push(`${endpoint.host}: ${error.message}`);
        this.#deps.log.warn(
          { image: this.#name, mirror: endpoint.host, error: error.message },
          'the next is asked',
        );
      }
    }
    throw new SkiffError(
      'failed_precondition',
      `${request.action}: no host has the capability "${capability}"; look at its hosts.toml`,
    );
  }

  async #fetch(endpoint: Endpoint, request: Request, signal: AbortSignal) {
    const { path, accept, limit, action } = request;
    const peer = await this.#peer(endpoint, signal);
    const { answer, call } = await peer.get({
      path: `${this.#options.reference.path}/${path}`,
      headers: { accept },
      signal,
      action,
    });
    return { answer, bytes: await this.#deps.http.readBody(answer, limit, call) };
  }

  #able(capability: 'pull' | 'resolve'): Endpoint[] {
    const able = this.#options.endpoints.filter((endpoint) => endpoint[capability]);
    const [up, down] = [
      able.filter((one) => !this.#down.has(one)),
      able.filter((one) => this.#down.has(one)),
    ];
    return [...up, ...down];
  }

  #peer(endpoint: Endpoint, signal: AbortSignal): Promise<Peer> {
    const known = this.#peers.get(endpoint) ?? this.#connect(endpoint, signal);
    this.#peers.set(endpoint, known);
    return known;
  }

  async #connect(endpoint: Endpoint, signal: AbortSignal): Promise<Peer> {
    const { path } = this.#options.reference;
    const credentials = await this.#deps.keychain.get(endpoint.host, path, signal);
    const authorization = newAuthorization(`repository:${path}:pull`, credentials);
    return new Peer({ endpoint, authorization }, { http: this.#deps.http });
  }
}

/** `cause` with what was said by the mirrors that were asked before. */
function withRefusals(cause: unknown, refusals: string[]): unknown {
  if (refusals.length === 0) return cause;
  const { code, message } = SkiffError.from(cause);
  const status = cause instanceof RegistryError ? cause.status : 0;
  const said = `${message} (asked before: ${refusals.join('; ')})`;
  return new RegistryError(code, said, { passing: false, status, cause });
}
