import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { SkiffError } from '../../base/errors.ts';
import type { RegistryConfig, RegistryHost } from '../types.ts';
import { readHostDirectory } from './certs-dir.ts';
import { hostOf, isLoopback, isSameRegistry } from './host-name.ts';
import { type HostEntry, plainEntry } from './hosts-file.ts';
import { hasTls, makeTransport, type Transport } from './transport.ts';

export type Scheme = 'http' | 'https';

/** One place that serves a registry's content: the registry itself or a mirror. Plain data, for worker threads. */
export interface Endpoint {
  /** Host and port. */
  host: string;
  /** Host, port and API root, without a slash at the end: `mirror.example:5000/v2`. */
  address: string;
  /** In the order in which they are tried. */
  schemes: Scheme[];
  /** May serve content by digest. */
  pull: boolean;
  /** May say what a tag stands for. */
  resolve: boolean;
  /** The registry that a mirror is asked for, sent as `?ns=`; '' where it is the registry itself. */
  namespace: string;
  /** Sent with each request to this host. */
  headers: Record<string, string>;
  transport: Transport;
}

export interface EndpointSettings {
  /** Directories such as /etc/skiff/certs.d, separated by ":". */
  configPath: string;
  registries: RegistryConfig;
}

/**
 * Where the content of `domain` is to be had, in the order in which to ask:
 * as certs.d says, and below that as our own configuration does.
 */
export async function endpointsOf(domain: string, settings: EndpointSettings): Promise<Endpoint[]> {
  const found = await readHostDirectory(settings.configPath, domain);
  const { directory, hosts, server } = found ?? { directory: '/', hosts: [], server: plainEntry() };
  return Promise.all([...hosts, server].map((entry) => endpointOf(entry, directory, domain, settings)));
}

async function endpointOf(
  entry: HostEntry,
  directory: string,
  domain: string,
  { registries }: EndpointSettings,
): Promise<Endpoint> {
  const address = entry.address === '' ? `${hostOf(domain)}/v2` : entry.address;
  const host = address.replace(/\/.*$/, '');
  const own = Object.entries(registries).find(([name]) => isSameRegistry(name, host))?.[1];
  const transport = await transportOf(entry, directory, own, host);
  return {
    host,
    address,
    schemes: schemesOf(entry, host, own, transport),
    pull: entry.pull,
    resolve: entry.resolve,
    namespace: isSameRegistry(host, domain) ? '' : domain,
    headers: entry.headers,
    transport,
  };
}

/**
 * A loopback registry may speak either; all others must be named for http. One
 * that is named for http with settings for TLS is asked for TLS first, as containerd does.
 */
function schemesOf(
  entry: HostEntry,
  host: string,
  own: RegistryHost | undefined,
  transport: Transport,
): Scheme[] {
  if (entry.scheme === 'https') return ['https'];
  if (entry.scheme === 'http')
    return hasTls(transport) && !host.endsWith(':80') ? ['https', 'http'] : ['http'];
  if (own?.plainHttp) return ['http'];
  return isLoopback(host) ? ['http', 'https'] : ['https'];
}

async function transportOf(
  entry: HostEntry,
  directory: string,
  own: RegistryHost | undefined,
  host: string,
): Promise<Transport> {
  const action = `read the certificates for registry ${host}`;
  const authorities = entry.ca.length > 0 ? entry.ca : [own?.caFile ?? ''].filter((file) => file !== '');
  const pem = (file: string, what: string) => readPem(resolve(directory, file), what, action);
  return makeTransport({
    ca: await Promise.all(authorities.map((file) => pem(file, 'CERTIFICATE'))),
    clients: await Promise.all(
      entry.clients.map(async ({ cert, key }) => ({
        cert: await pem(cert, 'CERTIFICATE'),
        key: await pem(key === '' ? cert : key, 'PRIVATE KEY'),
      })),
    ),
    skipVerify: entry.skipVerify ?? own?.skipVerify ?? false,
    ...(entry.dialTimeoutMs !== undefined && { dialTimeoutMs: entry.dialTimeoutMs }),
  });
}

async function readPem(file: string, what: string, action: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw SkiffError.from(cause, action, 'failed_precondition');
  }
  if (!new RegExp(`-----BEGIN [A-Z ]*${what}-----`).test(text))
    throw new SkiffError('failed_precondition', `${action}: ${file} holds no PEM ${what.toLowerCase()}`);
  return text;
}
