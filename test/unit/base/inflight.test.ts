import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Inflight } from '../../../src/base/inflight.ts';

const forever = new AbortController().signal;

describe('Inflight', () => {
  it('lets a retry join the call under way', async () => {
    const inflight = new Inflight<number>();
    let started = 0;
    const work = async () => {
      started += 1;
      await sleep(10);
      return started;
    };
    assert.deepEqual(
      await Promise.all([inflight.join('k', forever, work), inflight.join('k', forever, work)]),
      [1, 1],
    );
    assert.equal(await inflight.join('k', forever, work), 2);
  });

  it('aborts the work only when every caller has gone', async () => {
    const inflight = new Inflight<string>();
    const first = new AbortController();
    const second = new AbortController();
    let undone = false;
    const work = (signal: AbortSignal) =>
      new Promise<string>((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          sleep(20).then(() => {
            undone = true;
            reject(signal.reason);
          });
        });
      });
    const a = inflight.join('k', first.signal, work);
    const b = inflight.join('k', second.signal, work);
    first.abort();
    await assert.rejects(a);
    assert.ok(inflight.has('k'));
    assert.equal(undone, false);
    second.abort();
    await assert.rejects(b);
    assert.equal(undone, true, 'the last caller is answered after the undoing');
    assert.equal(inflight.has('k'), false);
  });

  it('starts anew for a caller that comes while an aborted call still undoes', async () => {
    const inflight = new Inflight<string>();
    const gone = new AbortController();
    const events: string[] = [];
    const dying = inflight.join('k', gone.signal, async (signal) => {
      while (!signal.aborted) await sleep(1);
      await sleep(20);
      events.push('undone');
      throw new Error('aborted');
    });
    await sleep(5);
    gone.abort();
    const retry = inflight.join('k', forever, async () => {
      events.push('started');
      return 'fresh';
    });
    await assert.rejects(dying);
    assert.equal(await retry, 'fresh');
    assert.deepEqual(events, ['undone', 'started']);
  });
});
