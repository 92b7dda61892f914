import { subscribe, unsubscribe } from 'node:diagnostics_channel';

const CHANNEL = 'http2.server.stream.created';

/** grpc-js holds a deadline as a signed 32-bit count of milliseconds, 24.8 days. */
const LONGEST_MS = 2 ** 31 - 1;

/** Units of grpc-timeout that can be longer (gRPC over HTTP2, "Timeout"); it has at most eight digits. */
const UNITS_MS: Record<string, number> = { H: 3_600_000, M: 60_000, S: 1000 };

/**
 * Drops deadlines that grpc-js cannot hold: they would wrap and pass at once, and a StopContainer whose grace
 * period is a month could never stop its container. Such a call ends when its client gives it up. The headers
 * are reached as they come in, through Node's diagnostics; the result undoes it.
 */
export function dropLongDeadlines(): () => void {
  const drop = (created: unknown): void => {
    const { headers } = created as { headers: Record<string, unknown> };
    if (isTooLong(headers['grpc-timeout'])) delete headers['grpc-timeout'];
  };
  subscribe(CHANNEL, drop);
  return () => unsubscribe(CHANNEL, drop);
}

function isTooLong(timeout: unknown): boolean {
  const [, digits, unit] = /^(\d{1,8})([HMS])$/.exec(String(timeout)) ?? [];
  return Number(digits) * (UNITS_MS[unit ?? ''] ?? 0) > LONGEST_MS;
}
