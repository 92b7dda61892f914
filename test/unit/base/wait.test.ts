import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, within } from '../../../src/base/wait.ts';

const DAY = 24 * 3600 * 1000;
const never = new AbortController().signal;

describe('after', () => {
  it('calls once the time has passed, and not when it was called off', async () => {
    const called: string[] = [];
    after(5, () => called.push('a'));
    after(5, () => called.push('b'))();
    await sleep(50);
    assert.deepEqual(called, ['a']);
  });

  it('counts more days than a timer of Node can', (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    let called = 0;
    after(60 * DAY, () => called++);
    for (let day = 0; day < 59; day++) t.mock.timers.tick(DAY);
    assert.equal(called, 0);
    // The mock counts a timer that is set in another's call from the end of the tick.
    for (let day = 59; day < 63; day++) t.mock.timers.tick(DAY);
    assert.equal(called, 1);
  });
});

describe('within', () => {
  it('tells whether it was in time', async () => {
    assert.equal(await within(Promise.resolve(), 1000, never), true);
    assert.equal(await within(new Promise(() => undefined), 5, never), false);
  });

  it('does not take the longest grace for none', async () => {
    assert.equal(await within(sleep(50), Number.MAX_SAFE_INTEGER * 1000, never), true);
  });

  it('rejects with what the event or the signal says', async () => {
    await assert.rejects(within(Promise.reject(new Error('broken')), 1000, never), /broken/);
    const abort = new AbortController();
    const waiting = within(new Promise(() => undefined), 1000, abort.signal);
    abort.abort(new Error('gone'));
    await assert.rejects(waiting, /gone/);
    await assert.rejects(within(Promise.resolve(), 1000, abort.signal), /gone/);
  });
});
