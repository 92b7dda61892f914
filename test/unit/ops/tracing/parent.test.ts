import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { remoteParent } from '../../../../src/ops/tracing/parent.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';

describe('traceparent', () => {
  it('names the span of the caller, and whether it is recorded', () => {
    assert.deepEqual(remoteParent(`00-${TRACE}-${SPAN}-01`, undefined), {
      traceId: TRACE,
      spanId: SPAN,
      traceFlags: 1,
      isRemote: true,
    });
    assert.equal(remoteParent(`00-${TRACE}-${SPAN}-00`, undefined)?.traceFlags, 0);
    assert.equal(remoteParent(`00-${TRACE}-${SPAN}-01`, 'a=1,b=2')?.traceState?.get('b'), '2');
  });

  it('of a later version is read as far as it is known', () => {
    assert.equal(remoteParent(`cc-${TRACE}-${SPAN}-03-what-else`, undefined)?.traceFlags, 1);
  });

  for (const header of [
    undefined,
    '',
    'garbage',
    `00-${TRACE}-${SPAN}`,
    `00-${TRACE}-${SPAN}-01-more`,
    `ff-${TRACE}-${SPAN}-01`,
    `00-${TRACE.toUpperCase()}-${SPAN}-01`,
    `00-${'0'.repeat(32)}-${SPAN}-01`,
    `00-${TRACE}-${'0'.repeat(16)}-01`,
    `00-${TRACE.slice(1)}-${SPAN}-01`,
  ])
    it(`is none where it is ${header}`, () => assert.equal(remoteParent(header, undefined), undefined));
});
