const MONOTONIC_TO_EPOCH = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint();

/**
 * Nanoseconds since the epoch as a decimal string, the form of every time that
 * is stored or sent. Strictly later than the last one given, so that two things
 * that happen one after the other never carry the same instant.
 */
export function nowNs(): string {
  // The wall clock has milliseconds; the monotonic one gives the digits below,
  // and a wall clock that is set while the daemon runs still shows through.
  const wall = BigInt(Date.now()) * 1_000_000n;
  const fine = MONOTONIC_TO_EPOCH + process.hrtime.bigint();
  const drift = fine > wall ? fine - wall : wall - fine;
  const now = drift < 2_000_000n ? fine : wall;
  last = now > last ? now : last + 1n;
  return last.toString();
}

let last = 0n;
