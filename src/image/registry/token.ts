import { SkiffError } from '../../base/errors.ts';
import type { Challenge } from './challenge.ts';
import { basicHeader, type Credentials } from './credentials.ts';
import { type HttpCall, type HttpClient, readBody } from './http.ts';

export interface TokenOptions {
  challenge: Challenge;
  /** What the token must allow, where the challenge does not say it. */
  scope: string;
  /** The registry that sent the challenge. */
  base: string;
  credentials: Credentials | null;
}

const TOKEN_BYTES = 1 << 20;

/** A bearer token from the token server that a challenge names (distribution docs, "Token Authentication Specification"). */
export async function fetchToken(
  options: TokenOptions,
  deps: { http: HttpClient },
  signal: AbortSignal,
): Promise<string> {
  const url = tokenUrl(options);
  const action = `fetch a token from ${url.origin} for ${options.base}`;
  const call: HttpCall = { url, headers: authorization(options, url, action), signal, action };
  const body = await readBody(await deps.http.getOk(call), TOKEN_BYTES, call);
  return tokenOf(body, action);
}

function tokenUrl(options: TokenOptions): URL {
  const { realm, service, scope } = options.challenge.parameters;
  const url = URL.parse(realm ?? '');
  if (url === null || !/^https?:$/.test(url.protocol))
    throw new SkiffError(
      'failed_precondition',
      `authenticate to ${options.base}: its challenge names the token server ${JSON.stringify(realm ?? '')}, which is no URL`,
    );
  if (service !== undefined) url.searchParams.set('service', service);
  url.searchParams.set('scope', scope ?? options.scope);
  return url;
}

function authorization(options: TokenOptions, url: URL, action: string): Record<string, string> {
  if (options.credentials === null) return {};
  // A registry behind TLS must not lead its credentials into the open.
  if (url.protocol === 'http:' && options.base.startsWith('https:'))
    throw new SkiffError('failed_precondition', `${action}: the token server does not speak https`);
  return { authorization: basicHeader(options.credentials) };
}

function tokenOf(body: Buffer, action: string): string {
  try {
    const json = JSON.parse(body.toString('utf8')) as { token?: unknown; access_token?: unknown };
    const token = json.token || json.access_token;
    if (typeof token === 'string' && token !== '') return token;
  } catch {
    // Falls through: what is no JSON holds no token either.
  }
  throw new SkiffError('unavailable', `RegistryUnavailable: ${action}: the answer holds no token`);
}
