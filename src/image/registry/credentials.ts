import { SkiffError } from '../../base/errors.ts';
import type { AuthConfig } from '../types.ts';
import { isSameRegistry } from './host-name.ts';

/** What opens a registry; '' = not given. Plain data: it travels to worker threads, and nowhere else. */
export interface Credentials {
  username: string;
  password: string;
  /** A refresh token: the token server gives bearer tokens for it (OAuth 2.0, RFC 6749, section 6). */
  identityToken: string;
  /** A bearer token, sent to the registry as it is. */
  registryToken: string;
}

/** What docker's credential helpers give as user where the secret is an identity token. */
const TOKEN_USER = '<token>';

/** `Basic <base64 of user:password>` (RFC 7617). */
export function basicHeader(credentials: Pick<Credentials, 'username' | 'password'>): string {
  const pair = `${credentials.username}:${credentials.password}`;
  return `Basic ${Buffer.from(pair, 'utf8').toString('base64')}`;
}

/** Who to be towards a token server or for basic authentication; undefined = nobody. */
export function userOf(credentials: Credentials | null): { username: string; password: string } | undefined {
  if (credentials === null || credentials.username === '') return undefined;
  return { username: credentials.username, password: credentials.password };
}

/**
 * Credentials out of CRI's AuthConfig, a docker configuration or our own, which
 * all have the same fields; null where none is filled. `source` is for messages.
 */
export function credentialsOf(
  auth: Omit<AuthConfig, 'serverAddress'>,
  source = 'the credentials of the pull',
): Credentials | null {
  const given = auth.username === '' ? decodedPair(auth.auth, source) : auth;
  const isToken = given.username === TOKEN_USER;
  const credentials = {
    username: isToken ? '' : given.username,
    password: isToken ? '' : given.password,
    identityToken: auth.identityToken || (isToken ? given.password : ''),
    registryToken: auth.registryToken,
  };
  return Object.values(credentials).every((value) => value === '') ? null : credentials;
}

/** True where `serverAddress` (a host, or a URL) names `host`; credentials that name none are for any. */
export function isMeantFor(serverAddress: string, host: string): boolean {
  return serverAddress === '' || isSameRegistry(hostOfAddress(serverAddress), host);
}

/** `https://index.docker.io/v1/` -> `index.docker.io` */
export function hostOfAddress(address: string): string {
  return address.replace(/^https?:\/\//, '').replace(/\/.*$/, '');
}

function decodedPair(auth: string, source: string): { username: string; password: string } {
  if (auth === '') return { username: '', password: '' };
  const pair = Buffer.from(auth, 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  if (colon < 0)
    throw new SkiffError('invalid_argument', `read ${source}: auth is not base64 of user:password`);
  // Docker pads the decoded pair with NUL.
  return { username: pair.slice(0, colon), password: pair.slice(colon + 1).replace(/\0+$/, '') };
}
