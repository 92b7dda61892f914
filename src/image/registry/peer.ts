import { type Authorization, Authorizer } from './auth.ts';
import { parseChallenges } from './challenge.ts';
import type { Endpoint, Scheme } from './endpoint.ts';
import { isSilent, speaksNoTls } from './errors.ts';
import { failure, type HttpAnswer, type HttpCall, type HttpClient } from './http.ts';

/** What Go's HTTPS server answers to plain HTTP. */
const WRONG_SCHEME = 400;
const UNAUTHORIZED = 401;

/** An endpoint with our authorization towards it. Plain data, for worker threads. */
export interface PeerState {
  endpoint: Endpoint;
  authorization: Authorization;
}

export interface PeerRequest {
  /** Below the API root: `library/busybox/manifests/latest`. */
  path: string;
  headers: Record<string, string>;
  /** Statuses besides 200 that are no error. */
  also?: number[];
  signal: AbortSignal;
  action: string;
}

/** One registry or mirror to talk to, which answers its challenges. */
export class Peer {
  readonly #http: HttpClient;
  readonly #authorizer: Authorizer;
  #endpoint: Endpoint;

  constructor(state: PeerState, deps: { http: HttpClient }) {
    this.#endpoint = state.endpoint;
    this.#http = deps.http;
    this.#authorizer = new Authorizer(state.authorization, deps);
  }

  get endpoint(): Endpoint {
    return this.#endpoint;
  }

  /** All that another thread needs to talk to it, with the authorization of this moment. */
  get state(): PeerState {
    return { endpoint: this.#endpoint, authorization: this.#authorizer.state };
  }

  /** The answer to a GET, and the call that it answers. */
  async get(request: PeerRequest): Promise<{ answer: HttpAnswer; call: HttpCall }> {
    const { action, signal, also = [] } = request;
    const { headers, transport } = this.#endpoint;
    const url = await this.#url(request);
    const tried = new Set<string>();
    for (;;) {
      const authorization = this.#authorizer.headers();
      const call = {
        url,
        headers: { ...request.headers, ...headers, ...authorization },
        transport,
        signal,
        action,
      };
      const answer = await this.#http.sendOk(call, [UNAUTHORIZED, ...also]);
      if (answer.status !== UNAUTHORIZED) return { answer, call };
      const challenges = parseChallenges(answer.headers['www-authenticate']);
      const refusal = await failure(answer, action);
      // Whoever the registry redirects to may ask for credentials, but has no claim to them.
      if (answer.url.origin !== url.origin) throw refusal;
      const demand = { challenges, origin: url.origin, transport, tried };
      if (!(await this.#authorizer.answer(demand, signal))) throw refusal;
    }
  }

  async #url(request: PeerRequest): Promise<URL> {
    const scheme = await this.#scheme(request.signal);
    const url = new URL(`${scheme}://${this.#endpoint.address}/${request.path}`);
    if (this.#endpoint.namespace !== '') url.searchParams.set('ns', this.#endpoint.namespace);
    return url;
  }

  /** The scheme that it speaks; where that is not known beforehand, its API root is asked. */
  async #scheme(signal: AbortSignal): Promise<Scheme> {
    const [first = 'https', second] = this.#endpoint.schemes;
    if (second === undefined) return first;
    const scheme = await this.#probe(first, second, signal);
    this.#endpoint = { ...this.#endpoint, schemes: [scheme] };
    return scheme;
  }

  async #probe(first: Scheme, second: Scheme, signal: AbortSignal): Promise<Scheme> {
    try {
      const status = await this.#ping(first, signal);
      return first === 'http' && status === WRONG_SCHEME ? second : first;
    } catch (cause) {
      signal.throwIfAborted();
      // A certificate that is not trusted is no reason to speak http.
      if (first === 'https' && !speaksNoTls(cause)) throw cause;
      await this.#ping(second, signal).catch((other: unknown) => {
        throw isSilent(other) ? cause : other;
      });
      return second;
    }
  }

  /** The status of the API's root (distribution-spec, end-1). */
  async #ping(scheme: Scheme, signal: AbortSignal): Promise<number> {
    const { address, transport, headers } = this.#endpoint;
    const action = `reach registry ${scheme}://${address.replace(/\/.*$/, '')}`;
    const answer = await this.#http.send({
      url: `${scheme}://${address}/`,
      headers,
      transport,
      signal,
      action,
    });
    answer.body.destroy();
    return answer.status;
  }
}
