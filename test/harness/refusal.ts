import assert from 'node:assert/strict';
import { type ErrorCode, SkiffError } from '../../src/base/errors.ts';
import type { TestDaemon } from './daemon.ts';
import { leaks, takeInventory } from './leaks.ts';

/** What is undone after its caller has gone takes as long as CNI plugins do, in ms. */
const PATIENCE_MS = 8000;

/** Holds the failure of `call` against the gRPC code and the sentence that a client must get; answers the error. */
export async function refused(call: Promise<unknown>, code: ErrorCode, says: RegExp): Promise<SkiffError> {
  const outcome = await call.then(
    (reply) => reply,
    (cause: unknown) => cause,
  );
  assert.ok(outcome instanceof SkiffError, `not refused: ${JSON.stringify(outcome)}`);
  assert.equal(outcome.code, code, outcome.message);
  assert.match(outcome.message, says);
  return outcome;
}

/** The body of a test after which nothing may be there that was not there before it. */
export function leavesNothing(daemon: () => TestDaemon, body: () => Promise<void>): () => Promise<void> {
  return async () => {
    const before = await takeInventory(daemon());
    await body();
    const left = await leaks(daemon(), before, PATIENCE_MS);
    if (left.length > 0) assert.fail(`left behind:\n${left.join('\n')}\n${await complaints(daemon())}`);
  };
}

/** The last warnings and errors of the daemon, one line each. */
async function complaints(daemon: TestDaemon): Promise<string> {
  const entries = (await daemon.logTail(200)).split('\n').flatMap((line) => {
    try {
      return [JSON.parse(line) as { level: number; msg: string; error?: string; err?: { message: string } }];
    } catch {
      return [];
    }
  });
  const serious = entries.filter(({ level }) => level >= 40).slice(-10);
  return serious.map(({ msg, error, err }) => `${msg}: ${error ?? err?.message ?? ''}`).join('\n');
}
