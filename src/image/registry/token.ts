import { SkiffError } from '../../base/errors.ts';
import type { Challenge } from './challenge.ts';
import { basicHeader, type Credentials, userOf } from './credentials.ts';
import { RegistryError } from './errors.ts';
import type { HttpCall, HttpClient } from './http.ts';
import type { Transport } from './transport.ts';

export interface TokenOptions {
  challenge: Challenge;
  /** What the token must allow, where the challenge does not say it. */
  scope: string;
  /** Origin of the registry that sent the challenge. */
  registry: string;
  transport: Transport;
  credentials: Credentials | null;
}

export interface BearerToken {
  token: string;
  /** Milliseconds for which it serves. */
  lifetimeMs: number;
  /** What takes the place of the identity token that it was given for, '' = nothing. */
  refreshToken: string;
}

const TOKEN_BYTES = 1 << 20;
const CLIENT_ID = 'skiff';
/** Where a server does not say it (distribution docs, "Token Authentication Specification"). */
const DEFAULT_LIFETIME_S = 60;
/** Answers of token servers that have no POST: GCR's, Artifactory's, ACR's, and those that follow HTTP. */
const NO_POST = [400, 401, 404, 405];
/** User of a request whose password is an identity token. */
const IDENTITY_USER = '<token>';

/**
 * A bearer token from the token server that a challenge names: a GET with basic
 * authentication (distribution docs, "Token Authentication Specification"), or
 * for an identity token a POST ("Oauth2 Token Authentication").
 */
export async function fetchToken(
  options: TokenOptions,
  deps: { http: HttpClient },
  signal: AbortSignal,
): Promise<BearerToken> {
  const realm = realmOf(options);
  const action = `fetch a token from ${realm.origin} for ${options.registry}`;
  const { credentials, transport } = options;
  // A registry behind TLS must not lead its credentials into the open.
  if (credentials !== null && realm.protocol === 'http:' && options.registry.startsWith('https:'))
    throw new SkiffError('failed_precondition', `${action}: the token server does not speak https`);
  const call = { transport, signal, action };
  const identity = credentials?.identityToken ?? '';
  if (identity !== '') {
    try {
      return await ask({ ...call, url: realm, headers: {}, form: form(options, identity) }, deps.http);
    } catch (cause) {
      if (!(cause instanceof RegistryError) || !NO_POST.includes(cause.status)) throw cause;
    }
  }
  const user = identity === '' ? userOf(credentials) : { username: IDENTITY_USER, password: identity };
  const headers: Record<string, string> = user === undefined ? {} : { authorization: basicHeader(user) };
  return ask({ ...call, url: withQuery(realm, options), headers }, deps.http);
}

function realmOf(options: TokenOptions): URL {
  const { realm } = options.challenge.parameters;
  const url = URL.parse(realm ?? '');
  if (url !== null && /^https?:$/.test(url.protocol)) return url;
  throw new SkiffError(
    'failed_precondition',
    `authenticate to ${options.registry}: its challenge names the token server ${JSON.stringify(realm ?? '')}, which is no URL`,
  );
}

function withQuery(realm: URL, options: TokenOptions): URL {
  const url = new URL(realm);
  const { service, scope } = options.challenge.parameters;
  if (service !== undefined) url.searchParams.set('service', service);
  for (const one of (scope ?? options.scope).split(' ')) url.searchParams.append('scope', one);
  return url;
}

function form(options: TokenOptions, identityToken: string): Record<string, string> {
  const { service, scope } = options.challenge.parameters;
  return {
    grant_type: 'refresh_token',
    refresh_token: identityToken,
    service: service ?? '',
    scope: scope ?? options.scope,
    client_id: CLIENT_ID,
  };
}

async function ask(call: HttpCall, http: HttpClient): Promise<BearerToken> {
  const body = await http.readBody(await http.sendOk(call), TOKEN_BYTES, call);
  try {
    const json = JSON.parse(body.toString('utf8')) as Record<string, unknown>;
    const token = json.token || json.access_token;
    const seconds = typeof json.expires_in === 'number' ? json.expires_in : 0;
    const refreshToken = typeof json.refresh_token === 'string' ? json.refresh_token : '';
    const lifetimeMs = (seconds > 0 ? seconds : DEFAULT_LIFETIME_S) * 1000;
    if (typeof token === 'string' && token !== '') return { token, lifetimeMs, refreshToken };
  } catch {
    // Falls through: what is no JSON holds no token either.
  }
  throw new SkiffError('unavailable', `RegistryUnavailable: ${call.action}: the answer holds no token`);
}
