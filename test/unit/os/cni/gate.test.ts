import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Gate } from '../../../../src/os/cni/gate.ts';

describe('Gate', () => {
  it('runs shared work side by side and exclusive work alone, in the order of asking', async () => {
    const gate = new Gate();
    const seen: string[] = [];
    const work = (name: string, ms: number) => async () => {
      seen.push(`${name} begins`);
      await sleep(ms);
      seen.push(`${name} ends`);
    };
    await Promise.all([
      gate.share(work('add 1', 30)),
      gate.share(work('add 2', 10)),
      gate.exclude(work('gc', 10)),
      gate.share(work('add 3', 1)),
    ]);
    assert.deepEqual(seen.slice(0, 2), ['add 1 begins', 'add 2 begins']);
    assert.deepEqual(seen.slice(4), ['gc begins', 'gc ends', 'add 3 begins', 'add 3 ends']);
  });

  it('goes on after failures', async () => {
    const gate = new Gate();
    const fail = async () => {
      throw new Error('no');
    };
    await assert.rejects(gate.share(fail), /no/);
    await assert.rejects(gate.exclude(fail), /no/);
    assert.equal(await gate.share(async () => 1), 1);
    assert.equal(await gate.exclude(async () => 2), 2);
  });
});
