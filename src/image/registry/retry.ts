import { setTimeout as sleep } from 'node:timers/promises';
import { RegistryError } from './errors.ts';

export interface RetryOptions {
  /** Tries altogether. */
  attempts: number;
  /** Milliseconds before the second try; doubled for each further one. */
  firstDelayMs: number;
}

export const DEFAULT_RETRY: RetryOptions = { attempts: 4, firstDelayMs: 250 };

/** Runs `work` again after errors that may pass, waiting longer each time or as long as the registry asks. */
export async function retrying<T>(
  options: RetryOptions,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (cause) {
      if (!(cause instanceof RegistryError) || !cause.passing || attempt >= options.attempts) throw cause;
      await pause(options, attempt, cause.retryAfterMs, signal);
    }
  }
}

/** Waits before try number `attempt + 1`; rejects with the signal's reason when it aborts. */
export async function pause(
  options: RetryOptions,
  attempt: number,
  retryAfterMs: number | null,
  signal: AbortSignal,
): Promise<void> {
  // Random within the upper half, so that a fleet that was refused at once does not come back at once.
  const backoff = options.firstDelayMs * 2 ** (attempt - 1) * (0.5 + Math.random() / 2);
  const timer = sleep(retryAfterMs ?? backoff, undefined, { signal, ref: true });
  await timer.catch((cause) => {
    throw signal.aborted ? signal.reason : cause;
  });
}
