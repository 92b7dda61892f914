import { SkiffError } from '../../base/errors.ts';

/** docker.io is a name; the registry behind it answers here. */
const HUB_DOMAIN = 'docker.io';
const HUB_HOST = 'registry-1.docker.io';
const HUB_NAMES = ['index.docker.io', HUB_DOMAIN, HUB_HOST];

/** The host that serves a reference's domain. */
export function hostOf(domain: string): string {
  return domain === HUB_DOMAIN ? HUB_HOST : domain;
}

/** True where both name the same registry: Docker Hub has several names. */
export function isSameRegistry(one: string, other: string): boolean {
  return one === other || (HUB_NAMES.includes(one) && HUB_NAMES.includes(other));
}

/** localhost, 127.0.0.0/8 and ::1, with or without a port. */
export function isLoopback(host: string): boolean {
  const url = URL.parse(`http://${host}`);
  if (url === null) throw new SkiffError('invalid_argument', `reach registry ${host}: not a host name`);
  return url.hostname === 'localhost' || url.hostname === '[::1]' || /^127(\.\d+){3}$/.test(url.hostname);
}
