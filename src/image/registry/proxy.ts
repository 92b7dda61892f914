import { BlockList, isIP } from 'node:net';
import { SkiffError } from '../../base/errors.ts';
import { isLoopback } from './host-name.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The proxy for `url` as HTTP_PROXY, HTTPS_PROXY and NO_PROXY say (upper case
 * before lower case, loopback never), in the way of Go's programs, because units
 * and drop-ins are written for those; null = connect directly.
 */
export function proxyFor(url: URL, environment: Environment): URL | null {
  const name = url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY';
  const value = variable(environment, name);
  if (value === '' || isLoopback(url.host) || isExempt(url, variable(environment, 'NO_PROXY'))) return null;
  const proxy = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(value) ? value : `http://${value}`);
  if (proxy !== null && /^https?:$/.test(proxy.protocol)) return proxy;
  // Never the value itself: it may hold a password.
  throw new SkiffError('failed_precondition', `reach ${url.host}: ${name} is no URL of an http proxy`);
}

/** `Basic ..` for a proxy whose URL has a user, else undefined. */
export function proxyAuthorization(proxy: URL): string | undefined {
  if (proxy.username === '') return undefined;
  const pair = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  return `Basic ${Buffer.from(pair).toString('base64')}`;
}

function variable(environment: Environment, name: string): string {
  return (environment[name] || environment[name.toLowerCase()] || '').trim();
}

/** `example.com` (with all below it), `.example.com` and `*.example.com` (only below it), addresses, CIDRs, `*`; each may have a port. */
function isExempt(url: URL, list: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, '').toLowerCase();
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  return list
    .split(/[,\s]+/)
    .filter((entry) => entry !== '')
    .some((entry) => matches(entry.toLowerCase(), host, port));
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true;
  if (entry.includes('/')) return inSubnet(entry, host);
  const [, name = '', only] = /^(\[[^\]]*\]|[^:]*|.*:.*:.*?)(?::(\d+))?$/.exec(entry) ?? [];
  if (only !== undefined && only !== port) return false;
  const bare = name.replace(/^\[|\]$/g, '');
  if (isIP(bare) !== 0) return bare === host;
  const domain = bare.replace(/^\*/, '');
  if (domain.startsWith('.')) return host.endsWith(domain);
  return domain !== '' && (host === domain || host.endsWith(`.${domain}`));
}

function inSubnet(entry: string, host: string): boolean {
  const [network = '', prefix = ''] = entry.split('/');
  const [family, own] = [isIP(network), isIP(host)];
  const length = Number(prefix);
  if (family === 0 || own !== family || !/^\d+$/.test(prefix) || length > (family === 4 ? 32 : 128))
    return false;
  const type = family === 4 ? 'ipv4' : 'ipv6';
  const subnet = new BlockList();
  subnet.addSubnet(network, length, type);
  return subnet.check(host, type);
}
