/**
 * Waits until all have ended, then fails with the first failure. What comes
 * next, such as an undo, must not run beside something that still works.
 */
export async function settleAll(work: Promise<unknown>[]): Promise<void> {
  for (const result of await Promise.allSettled(work)) if (result.status === 'rejected') throw result.reason;
}
