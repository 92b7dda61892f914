const MILLISECONDS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;
const DURATION = /^(\d+)(ms|s|m|h)$/;

/** Milliseconds of "250ms", "10s", "5m", "1h"; undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  const [, amount, unit] = DURATION.exec(text) ?? [];
  return amount === undefined ? undefined : Number(amount) * MILLISECONDS[unit as keyof typeof MILLISECONDS];
}

/** The shortest text that `parseDuration` reads as `milliseconds`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds === 0) return '0s';
  const unit =
    (['h', 'm', 's', 'ms'] as const).find((name) => milliseconds % MILLISECONDS[name] === 0) ?? 'ms';
  return `${milliseconds / MILLISECONDS[unit]}${unit}`;
}
