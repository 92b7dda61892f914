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

  it("the kubelet's own reasons are UNKNOWN: only then does its client show it the begin of the message", () => {
    for (const message of ['RegistryUnavailable: reach it: refused', 'SignatureValidationFailed: pull x: no'])
      assert.deepEqual(statusOf(new SkiffError('unavailable', message)), {
        code: status.UNKNOWN,
        details: message,
      });
    assert.equal(
      statusOf(new SkiffError('unavailable', 'pull: RegistryUnavailable')).code,
      status.UNAVAILABLE,
    );
  });

  it('come back as errors', () => {
    const reply = Object.assign(new Error('5 NOT_FOUND: gone'), { code: 5, details: 'gone' });
    const error = errorOf(reply);
    assert.equal(error.code, 'not_found');
    assert.equal(error.message, 'gone');
    assert.equal(errorOf(new Error('plain')).code, 'internal');
  });
});
