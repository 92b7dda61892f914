/**
 * Whether `event` resolves within `ms` milliseconds. Rejects when it rejects,
 * and with the signal's reason when `signal` aborts first. Leaves no timer and
 * no listener behind.
 */
export async function within(event: Promise<unknown>, ms: number, signal: AbortSignal): Promise<boolean> {
  signal.throwIfAborted();
  const done = new AbortController();
  const late = new Promise<boolean>((resolve, reject) => {
    const timer = setTimeout(() => resolve(false), ms);
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    done.signal.addEventListener('abort', () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
    });
  });
  try {
    return await Promise.race([event.then(() => true), late]);
  } finally {
    done.abort();
  }
}
