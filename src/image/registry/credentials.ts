import { SkiffError } from '../../base/errors.ts';
import type { AuthConfig } from '../types.ts';
import { hostOf } from './endpoint.ts';

export interface Credentials {
  username: string;
  password: string;
}

/** `Basic <base64 of user:password>` (RFC 7617). */
export function basicHeader(credentials: Credentials): string {
  const pair = `${credentials.username}:${credentials.password}`;
  return `Basic ${Buffer.from(pair, 'utf8').toString('base64')}`;
}

/** User and password out of an AuthConfig, whose `auth` is base64 of both; null = anonymous. */
export function credentialsOf(auth: AuthConfig): Credentials | null {
  if (auth.identityToken !== '')
    throw new SkiffError(
      'unimplemented',
      'authenticate to the registry: identity_token is not served yet; use username and password',
    );
  if (auth.username !== '') return { username: auth.username, password: auth.password };
  if (auth.auth === '') return null;
  const pair = Buffer.from(auth.auth, 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  if (colon < 0)
    throw new SkiffError(
      'invalid_argument',
      'authenticate to the registry: auth is not base64 of user:password',
    );
  // Docker pads the decoded pair with NUL.
  return { username: pair.slice(0, colon), password: pair.slice(colon + 1).replace(/\0+$/, '') };
}

/** Credentials that name their server are kept from any other one. */
export function isMeantFor(auth: AuthConfig, domain: string): boolean {
  if (auth.serverAddress === '') return true;
  const host = auth.serverAddress.replace(/^https?:\/\//, '').replace(/\/.*$/, '');
  const hub = ['index.docker.io', 'docker.io', 'registry-1.docker.io'];
  return host === domain || hostOf(domain) === host || (hub.includes(host) && domain === 'docker.io');
}
