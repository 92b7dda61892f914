import type { AuthConfig } from '../types.ts';
import type { Challenge } from './challenge.ts';
import { basicHeader, type Credentials, credentialsOf, isMeantFor } from './credentials.ts';
import type { HttpClient } from './http.ts';
import { fetchToken } from './token.ts';

export interface AuthOptions {
  /** The registry, as the reference names it. */
  domain: string;
  /** `repository:library/busybox:pull` */
  scope: string;
  auth: AuthConfig | null;
}

/**
 * The authorization of one pull: nothing until the registry asks, then what its
 * challenge asks for. `header` may change while layers are fetched, when a
 * token has run out.
 */
export class Authorizer {
  readonly #options: AuthOptions;
  readonly #http: HttpClient;
  readonly #credentials: Credentials | null;
  #header = '';

  constructor(options: AuthOptions, deps: { http: HttpClient }) {
    this.#options = options;
    this.#http = deps.http;
    const auth = options.auth !== null && isMeantFor(options.auth, options.domain) ? options.auth : null;
    this.#credentials = auth === null ? null : credentialsOf(auth);
    if (auth !== null && auth.registryToken !== '') this.#header = `Bearer ${auth.registryToken}`;
  }

  headers(): Record<string, string> {
    return this.#header === '' ? {} : { authorization: this.#header };
  }

  /** Takes up the registry's challenges; false where there is nothing that was not tried already. */
  async answer(challenges: Challenge[], base: string, signal: AbortSignal): Promise<boolean> {
    const refused = this.#header;
    const bearer = challenges.find((challenge) => challenge.scheme === 'bearer');
    if (bearer !== undefined) {
      const { scope } = this.#options;
      const options = { challenge: bearer, scope, base, credentials: this.#credentials };
      this.#header = `Bearer ${await fetchToken(options, { http: this.#http }, signal)}`;
    } else if (challenges.some((challenge) => challenge.scheme === 'basic')) {
      if (this.#credentials === null) return false;
      this.#header = basicHeader(this.#credentials);
    }
    return this.#header !== refused;
  }
}
