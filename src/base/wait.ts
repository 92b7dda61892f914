/** The longest time of Node's timers, 24.8 days; what is longer they take for 1 ms. */
const LONGEST_MS = 2 ** 31 - 1;

/** Calls `work` in `ms` milliseconds, however many they are; the result calls it off. */
export function after(ms: number, work: () => void): () => void {
  let timer: NodeJS.Timeout;
  const wait = (left: number): void => {
    timer = setTimeout(
      () => (left > LONGEST_MS ? wait(left - LONGEST_MS) : work()),
      Math.min(left, LONGEST_MS),
    );
  };
  wait(ms);
  return () => clearTimeout(timer);
}

/**
 * Whether `event` resolves within `ms` milliseconds. Rejects when it rejects,
 * and with the signal's reason when `signal` aborts first. Leaves no timer and
 * no listener behind.
 */
export async function within(event: Promise<unknown>, ms: number, signal: AbortSignal): Promise<boolean> {
  signal.throwIfAborted();
  const done = new AbortController();
  const late = new Promise<boolean>((resolve, reject) => {
    const callOff = after(ms, () => resolve(false));
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    done.signal.addEventListener('abort', () => {
      callOff();
      signal.removeEventListener('abort', abort);
    });
  });
  try {
    return await Promise.race([event.then(() => true), late]);
  } finally {
    done.abort();
  }
}
