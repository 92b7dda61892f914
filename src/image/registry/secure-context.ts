import { readFile, stat } from 'node:fs/promises';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import { SkiffError } from '../../base/errors.ts';
import type { Transport } from './transport.ts';

export interface TlsOptions {
  rejectUnauthorized: boolean;
  secureContext: SecureContext;
}

/** Where distributions keep what their administrators trust, as Go's programs look for it. */
const BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/tls/cacert.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

/** Parsing a bundle takes tens of milliseconds in which nothing else runs. */
const KEPT = 8;
const kept = new Map<string, SecureContext>();

/** TLS options of the connections of `transport`; the parsed certificates are kept for its next pull. */
export async function tlsOptions(transport: Transport): Promise<TlsOptions> {
  const bundle = await systemBundle();
  const key = JSON.stringify([transport.id, bundle]);
  const known = kept.get(key);
  const secureContext = known ?? contextOf(transport, await authorities(bundle));
  kept.delete(key);
  kept.set(key, secureContext);
  const [oldest] = kept.keys();
  if (kept.size > KEPT && oldest !== undefined) kept.delete(oldest);
  return { rejectUnauthorized: !transport.skipVerify, secureContext };
}

function contextOf({ ca, clients }: Transport, system: string[]): SecureContext {
  try {
    return createSecureContext({
      ca: [...system, ...ca],
      ...(clients.length > 0 && {
        cert: clients.map(({ cert }) => cert),
        key: clients.map(({ key }) => key),
      }),
    });
  } catch (cause) {
    throw SkiffError.from(cause, 'read the certificates for the registry', 'failed_precondition');
  }
}

/** The file with the authorities of this machine and when it changed; null where there is none. */
async function systemBundle(): Promise<{ path: string; changed: number } | null> {
  for (const path of [process.env.SSL_CERT_FILE ?? '', ...BUNDLES]) {
    const found = path === '' ? undefined : await stat(path).catch(() => undefined);
    if (found?.isFile()) return { path, changed: found.mtimeMs };
  }
  return null;
}

/** What this machine trusts; what Node was built with where it has no store of its own. */
async function authorities(bundle: { path: string } | null): Promise<string[]> {
  const extra = getCACertificates('extra');
  if (bundle === null) return [...getCACertificates('bundled'), ...extra];
  return [await readFile(bundle.path, 'utf8'), ...extra];
}
