import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  CHANNEL_PROTOCOLS,
  decodeMessage,
  encodeMessage,
} from '../../../src/streaming/websocket/channels.ts';

const codec = (name: string) => {
  const found = CHANNEL_PROTOCOLS[name];
  assert.ok(found, name);
  return found;
};

describe('messages on channels', () => {
  // The sessions that the documentation of k8s.io/streaming, package wsstream, shows.
  it('begin with the number of their channel', () => {
    for (const name of ['', 'channel.k8s.io', 'v4.channel.k8s.io', 'v5.channel.k8s.io']) {
      const foo = Buffer.from([0, 102, 111, 111, 10]);
      assert.deepEqual(encodeMessage(codec(name), 0, Buffer.from('foo\n')), foo);
      assert.deepEqual(decodeMessage(codec(name), foo), {
        type: 'data',
        channel: 0,
        bytes: Buffer.from('foo\n'),
      });
    }
  });

  it('are base64 after a digit, in text', () => {
    for (const name of ['base64.channel.k8s.io', 'v4.base64.channel.k8s.io']) {
      const wire = Buffer.from([48, 90, 109, 57, 118, 67, 103, 61, 61]);
      assert.equal(encodeMessage(codec(name), 1, Buffer.from('\n')), '1Cg==');
      const decoded = { type: 'data', channel: 0, bytes: Buffer.from('foo\n') };
      assert.deepEqual(decodeMessage(codec(name), wire), decoded);
    }
  });

  it('close a channel in v5, and only there', () => {
    const close = Buffer.from([255, 0]);
    assert.deepEqual(decodeMessage(codec('v5.channel.k8s.io'), close), { type: 'close', channel: 0 });
    assert.equal(decodeMessage(codec('v4.channel.k8s.io'), close).type, 'data');
  });

  it('mean nothing where they are empty or cannot be read', () => {
    const nothing = { type: 'nothing' };
    assert.deepEqual(decodeMessage(codec(''), Buffer.alloc(0)), nothing);
    assert.deepEqual(decodeMessage(codec('v5.channel.k8s.io'), Buffer.from([255])), nothing);
    assert.deepEqual(decodeMessage(codec('v5.channel.k8s.io'), Buffer.from([255, 0, 0])), nothing);
    assert.deepEqual(decodeMessage(codec('base64.channel.k8s.io'), Buffer.from('0!!')), nothing);
    assert.deepEqual(decodeMessage(codec('base64.channel.k8s.io'), Buffer.from([3, 65])), nothing);
  });
});
