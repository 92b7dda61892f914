import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

/** Waits until `test` answers a truthy value, and answers it; fails with `what` after `timeoutMs`. */
export async function until<T>(
  what: string,
  test: () => Promise<T> | T,
  timeoutMs = 10_000,
): Promise<NonNullable<T>> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const value = await test();
    if (value) return value as NonNullable<T>;
    if (Date.now() > deadline) assert.fail(`never in ${timeoutMs} ms: ${what}`);
    await sleep(10);
  }
}
