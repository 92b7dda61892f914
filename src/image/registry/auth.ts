import { isCode } from '../../base/errors.ts';
import type { Challenge } from './challenge.ts';
import { basicHeader, type Credentials, userOf } from './credentials.ts';
import type { HttpClient } from './http.ts';
import { fetchToken } from './token.ts';
import type { Transport } from './transport.ts';

/** What is known of the authorization towards one host. Plain data: it travels to worker threads. */
export interface Authorization {
  /** `repository:library/busybox:pull`, asked for where a challenge names no scope. */
  scope: string;
  credentials: Credentials | null;
  /** The Authorization header, '' = none yet. */
  header: string;
  /** When the header stops to serve, in ms since the epoch; 0 = never. */
  expiresAt: number;
}

/** What the registry sent with a 401, and who sent it. */
export interface Demand {
  challenges: Challenge[];
  origin: string;
  transport: Transport;
  /** Schemes that this request has answered already. */
  tried: Set<string>;
}

/** A token is given up a little before its end, so that it does not run out on its way. */
const MARGIN_MS = 5_000;

export function newAuthorization(scope: string, credentials: Credentials | null): Authorization {
  const token = credentials?.registryToken ?? '';
  return { scope, credentials, header: token === '' ? '' : `Bearer ${token}`, expiresAt: 0 };
}

/**
 * The authorization towards one host: nothing until it asks, then what its
 * challenge asks for, and again when a token has run out.
 */
export class Authorizer {
  readonly #http: HttpClient;
  #state: Authorization;

  constructor(state: Authorization, deps: { http: HttpClient }) {
    this.#state = state;
    this.#http = deps.http;
  }

  get state(): Authorization {
    return this.#state;
  }

  headers(): Record<string, string> {
    const { header, expiresAt } = this.#state;
    const over = expiresAt !== 0 && Date.now() >= expiresAt;
    return header === '' || over ? {} : { authorization: header };
  }

  /** Takes up the host's challenges, a bearer's first; false where there is nothing that this request has not tried. */
  async answer(demand: Demand, signal: AbortSignal): Promise<boolean> {
    const { challenges, tried } = demand;
    const bearer = challenges.find((challenge) => challenge.scheme === 'bearer');
    const user = userOf(this.#state.credentials);
    const basic = user !== undefined && challenges.some((challenge) => challenge.scheme === 'basic');
    if (bearer !== undefined && !tried.has('bearer')) {
      tried.add('bearer');
      try {
        await this.#fetch(bearer, demand, signal);
        return true;
      } catch (cause) {
        if (!basic || isCode(cause, 'canceled', 'deadline_exceeded')) throw cause;
      }
    }
    if (!basic || tried.has('basic')) return false;
    tried.add('basic');
    this.#state = { ...this.#state, header: basicHeader(user), expiresAt: 0 };
    return true;
  }

  async #fetch(challenge: Challenge, demand: Demand, signal: AbortSignal): Promise<void> {
    const { scope, credentials } = this.#state;
    const { origin: registry, transport } = demand;
    const options = { challenge, scope, registry, transport, credentials };
    const { token, lifetimeMs, refreshToken } = await fetchToken(options, { http: this.#http }, signal);
    const rotated = credentials !== null && credentials.identityToken !== '' && refreshToken !== '';
    this.#state = {
      scope,
      credentials: rotated ? { ...credentials, identityToken: refreshToken } : credentials,
      header: `Bearer ${token}`,
      expiresAt: Date.now() + Math.max(lifetimeMs - MARGIN_MS, lifetimeMs / 2),
    };
  }
}
