import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { signalNumber, stopSignalOf } from '../../../src/container/stop-signal.ts';

describe('signalNumber', () => {
  const known: Record<string, number> = {
    SIGTERM: 15,
    term: 15,
    sigkill: 9,
    '15': 15,
    '64': 64,
    SIGRTMIN: 34,
    'SIGRTMIN+3': 37,
    'RTMIN+30': 64,
    'SIGRTMAX-2': 62,
    SIGRTMAX: 64,
    SIGRTMINPLUS15: 49,
    SIGRTMAXMINUS14: 50,
  };
  for (const [text, number] of Object.entries(known))
    it(`knows ${text}`, () => {
      assert.equal(signalNumber(text), number);
    });

  for (const text of [
    '',
    '0',
    '65',
    '-1',
    'SIGNONE',
    'SIG',
    'SIGRTMIN-1',
    'SIGRTMAX+1',
    'SIGRTMIN+31',
    '1.5',
    'constructor',
  ])
    it(`refuses "${text}"`, () => {
      assert.throws(() => signalNumber(text), { code: 'invalid_argument' });
    });
});

describe('stopSignalOf', () => {
  const of = (config: string, image: string) => stopSignalOf({ stopSignal: config }, { stopSignal: image });

  it('prefers the config, then the image, then SIGTERM', () => {
    assert.equal(of('SIGINT', 'SIGQUIT'), 'SIGINT');
    assert.equal(of('', 'SIGQUIT'), 'SIGQUIT');
    assert.equal(of('', ''), 'SIGTERM');
  });

  it('refuses nonsense of the config and steps over that of an image', () => {
    assert.throws(() => of('SIGNONE', ''), { code: 'invalid_argument' });
    assert.equal(of('', 'SIGNONE'), 'SIGTERM');
  });
});
