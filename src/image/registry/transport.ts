import { createHash } from 'node:crypto';

/** A client certificate with its key, both PEM text. */
export interface ClientCertificate {
  cert: string;
  key: string;
}

/**
 * How to connect to a registry, and to the token server and the storage that it
 * leads to. Plain data: it travels to worker threads.
 */
export interface Transport {
  /** The same for the same settings, '' for the defaults. */
  readonly id: string;
  /** PEM texts of authorities beside those of the system. */
  readonly ca: readonly string[];
  readonly clients: readonly ClientCertificate[];
  /** Accept any certificate. */
  readonly skipVerify: boolean;
  /** Longest time to connect, in milliseconds. */
  readonly dialTimeoutMs: number;
}

const DIAL_TIMEOUT_MS = 15_000;

export const DEFAULT_TRANSPORT = makeTransport({});

export function makeTransport(settings: Partial<Omit<Transport, 'id'>>): Transport {
  const all = { ca: [], clients: [], skipVerify: false, dialTimeoutMs: DIAL_TIMEOUT_MS, ...settings };
  const isDefault = !hasTls(all) && all.dialTimeoutMs === DIAL_TIMEOUT_MS;
  return { ...all, id: isDefault ? '' : createHash('sha256').update(JSON.stringify(all)).digest('hex') };
}

/** True where something was said about TLS, so that it is meant to be spoken. */
export function hasTls(transport: Pick<Transport, 'ca' | 'clients' | 'skipVerify'>): boolean {
  return transport.skipVerify || transport.ca.length > 0 || transport.clients.length > 0;
}
