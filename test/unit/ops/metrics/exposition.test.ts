import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { exposition } from '../../../../src/ops/metrics/exposition.ts';
import { Histogram } from '../../../../src/ops/metrics/histogram.ts';

describe('the text format', () => {
  it('has help, type and a line for each value', () => {
    const text = exposition([
      {
        name: 'calls_total',
        help: 'Calls.',
        type: 'counter',
        samples: [
          { labels: { method: 'Version', code: 'ok' }, value: 3 },
          { labels: { method: 'Status', code: 'internal' }, value: 1 },
        ],
      },
      { name: 'up', help: 'Always 1.', type: 'gauge', samples: [{ value: 1 }] },
    ]);
    assert.equal(
      text,
      [
        '# HELP calls_total Calls.',
        '# TYPE calls_total counter',
        'calls_total{method="Version",code="ok"} 3',
        'calls_total{method="Status",code="internal"} 1',
        '# HELP up Always 1.',
        '# TYPE up gauge',
        'up 1',
        '',
      ].join('\n'),
    );
  });

  it('escapes what would end a line or a value', () => {
    const value = 'a\\b"c\nd';
    const text = exposition([
      { name: 'x', help: value, type: 'gauge', samples: [{ labels: { l: value }, value: 1 }] },
    ]);
    assert.equal(text, '# HELP x a\\\\b"c\\nd\n# TYPE x gauge\nx{l="a\\\\b\\"c\\nd"} 1\n');
  });

  it('writes numbers as ParseFloat of Go reads them', () => {
    const values = [0.1 + 0.2, 1e21, -5, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    const text = exposition([
      { name: 'x', help: '', type: 'gauge', samples: values.map((value) => ({ value })) },
    ]);
    assert.deepEqual(
      text.split('\n').slice(2, -1),
      ['0.30000000000000004', '1e+21', '-5', 'NaN', '+Inf', '-Inf'].map((number) => `x ${number}`),
    );
  });
});

describe('a histogram', () => {
  it('counts in each bucket what is not above its bound', () => {
    const histogram = new Histogram([0.5, 1, 2]);
    for (const seconds of [0.25, 0.5, 0.75, 2, 8]) histogram.observe(seconds);
    const text = exposition([
      { name: 't', help: 'T.', type: 'histogram', samples: histogram.samples({ m: 'x' }) },
    ]);
    assert.deepEqual(text.split('\n').slice(2, -1), [
      't_bucket{m="x",le="0.5"} 2',
      't_bucket{m="x",le="1"} 3',
      't_bucket{m="x",le="2"} 4',
      't_bucket{m="x",le="+Inf"} 5',
      't_sum{m="x"} 11.5',
      't_count{m="x"} 5',
    ]);
  });
});
