import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CpuRates } from '../../../src/service/cpu-rates.ts';

const SECOND = 1_000_000_000n;

describe('CpuRates', () => {
  it('has no rate before the second sample', () => {
    const rates = new CpuRates();
    assert.equal(rates.sample('a', 5n, 0n), null);
    assert.equal(rates.sample('b', 5n, SECOND), null);
  });

  it('tells the use per second between two samples', () => {
    const rates = new CpuRates();
    rates.sample('a', 0n, 0n);
    assert.equal(rates.sample('a', SECOND, 2n * SECOND), SECOND / 2n, 'half a core');
    assert.equal(rates.sample('a', 4n * SECOND, 3n * SECOND), 3n * SECOND, 'three cores');
    assert.equal(rates.sample('a', 4n * SECOND, 4n * SECOND), 0n, 'idle');
  });

  it('keeps the rate where samples are nearer than a second, and measures from the last that counted', () => {
    const rates = new CpuRates();
    rates.sample('a', 0n, 0n);
    rates.sample('a', SECOND, SECOND);
    assert.equal(rates.sample('a', SECOND + 5n, 2n * SECOND - 1n), SECOND);
    assert.equal(rates.sample('a', 3n * SECOND, 2n * SECOND), 2n * SECOND);
  });

  it('begins anew after more than two minutes', () => {
    const rates = new CpuRates();
    rates.sample('a', 0n, 0n);
    assert.equal(rates.sample('a', 60n * SECOND, 120n * SECOND), SECOND / 2n);
    assert.equal(rates.sample('a', 70n * SECOND, 241n * SECOND), null);
    assert.equal(rates.sample('a', 71n * SECOND, 242n * SECOND), SECOND);
  });

  it('begins anew for a cgroup that was made anew, and after forget', () => {
    const rates = new CpuRates();
    rates.sample('a', 9n, 0n);
    assert.equal(rates.sample('a', 3n, SECOND), null);
    rates.forget('a');
    assert.equal(rates.size, 0);
  });
});
