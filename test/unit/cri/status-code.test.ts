import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { status } from '@grpc/grpc-js';
import { ERROR_CODES, SkiffError } from '../../../src/base/errors.ts';
import { errorCode, errorOf, statusNumber, statusOf } from '../../../src/cri/status-code.ts';

describe('status codes', () => {
  it('are those of gRPC, by name', () => {
    const named = status as unknown as Record<string, number>;
    for (const code of ERROR_CODES) {
      const name = code === 'canceled' ? 'CANCELLED' : code.toUpperCase();
      assert.equal(statusNumber(code), named[name], code);
      assert.equal(errorCode(statusNumber(code)), code);
    }
    assert.equal(errorCode(0), 'unknown');
    assert.equal(errorCode(99), 'unknown');
  });

  it('carry the message, cut where a header could not hold it', () => {
    const error = new SkiffError('not_found', 'find pod x: there is none');
    assert.deepEqual(statusOf(error), { code: 5, details: 'find pod x: there is none' });
    const long = statusOf(new SkiffError('internal', `${'x'.repeat(8191)}😀tail`));
    assert.equal(long.details.length, 8192);
    assert.doesNotThrow(() => encodeURI(long.details));
  });

  it('come back as errors', () => {
    const reply = Object.assign(new Error('5 NOT_FOUND: gone'), { code: 5, details: 'gone' });
    const error = errorOf(reply);
    assert.equal(error.code, 'not_found');
    assert.equal(error.message, 'gone');
    assert.equal(errorOf(new Error('plain')).code, 'internal');
  });
});
