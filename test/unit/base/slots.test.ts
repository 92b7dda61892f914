import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Slots } from '../../../src/base/slots.ts';

describe('Slots', () => {
  it('runs no more than the limit at a time, in the order of coming, also after failures', async () => {
    const slots = new Slots(2);
    const begun: number[] = [];
    let running = 0;
    let most = 0;
    const work = (i: number) => async () => {
      begun.push(i);
      running += 1;
      most = Math.max(most, running);
      await turn();
      running -= 1;
      if (i % 3 === 0) throw new Error(`${i}`);
      return i;
    };
    const results = await Promise.allSettled(Array.from({ length: 9 }, (_, i) => slots.run(work(i))));
    assert.equal(most, 2);
    assert.deepEqual(begun, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert.deepEqual(
      results.map((result) => (result.status === 'fulfilled' ? result.value : result.reason.message)),
      ['0', 1, 2, '3', 4, 5, '6', 7, 8],
    );
    assert.equal(await slots.run(async () => 'free again'), 'free again');
  });

  it('lets who waits go away, and takes nobody else the place', async () => {
    const slots = new Slots(1);
    const first = Promise.withResolvers<void>();
    const running = slots.run(() => first.promise);
    const abort = new AbortController();
    const leaver = slots.run(async () => 'never', abort.signal);
    const stayer = slots.run(async () => 'in its turn');
    abort.abort(new Error('gone'));
    await assert.rejects(leaver, /gone/);
    first.resolve();
    await running;
    assert.equal(await stayer, 'in its turn');
    await assert.rejects(
      slots.run(async () => 'never', abort.signal),
      /gone/,
    );
    assert.equal(await slots.run(async () => 'free'), 'free');
  });
});
