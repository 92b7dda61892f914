import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FrameDecoder } from '../../../../src/streaming/spdy/decode.ts';
import { encodeControl, encodeDataHead } from '../../../../src/streaming/spdy/encode.ts';
import { type Frame, MAX_CONTROL_LENGTH, SpdyError } from '../../../../src/streaming/spdy/frames.ts';
import { HeaderInflater } from '../../../../src/streaming/spdy/headers.ts';
import { bytes, WIRE } from './wire.ts';

/** A generator of numbers that gives the same ones for the same seed (mulberry32). */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

function decodeAll(chunks: Buffer[]): Frame[] {
  const decoder = new FrameDecoder();
  return chunks.flatMap((chunk) => decoder.push(chunk));
}

/** Data frames of one stream joined, as a reader sees them whatever the cuts. */
function joined(frames: Frame[]): unknown[] {
  const all: unknown[] = [];
  let open: { streamId: number; bytes: Buffer } | undefined;
  for (const frame of frames) {
    if (frame.type !== 'data') {
      all.push(frame);
      continue;
    }
    open = { streamId: frame.streamId, bytes: Buffer.concat([open?.bytes ?? Buffer.alloc(0), frame.bytes]) };
    if (!frame.fin) continue;
    all.push(open);
    open = undefined;
  }
  return all;
}

describe('the SPDY decoder', () => {
  it('reads what the Go library writes', () => {
    const names = ['syn3', 'reply', 'rst', 'ping', 'goAway', 'settings', 'window', 'data'] as const;
    assert.deepEqual(decodeAll([bytes(...names)]), [
      {
        type: 'synStream',
        streamId: 3,
        associatedTo: 0,
        priority: 5,
        fin: false,
        unidirectional: false,
        block: Buffer.from('c22e555c92929907000000ffff', 'hex'),
      },
      { type: 'synReply', streamId: 1, fin: false, block: Buffer.from('6260606000000000ffff', 'hex') },
      { type: 'rstStream', streamId: 3, status: 5 },
      { type: 'ping', id: 1 },
      { type: 'goAway', lastGoodStreamId: 5, status: 1 },
      { type: 'settings', settings: [{ flags: 1, id: 4, value: 100 }] },
      { type: 'windowUpdate', streamId: 3, delta: 65536 },
      { type: 'data', streamId: 3, fin: true, bytes: Buffer.from('hello') },
    ]);
  });

  it('reads the headers of a session in order', () => {
    const inflater = new HeaderInflater();
    const read = decodeAll([bytes('syn1', 'syn3', 'syn5', 'reply', 'headers')]).map((frame) =>
      'block' in frame ? [frame.fin, Object.fromEntries(inflater.read(frame.block))] : assert.fail(),
    );
    assert.deepEqual(read, [
      [false, { streamtype: 'error' }],
      [false, { streamtype: 'stdin' }],
      [true, { streamtype: 'data', port: '8080', requestid: '7' }],
      [false, {}],
      [true, { a: 'b\0c' }],
    ]);
  });

  it('reads the same, cut anywhere', () => {
    const session = bytes('syn1', 'data', 'syn3', 'ping', 'data', 'settings', 'headers', 'data', 'goAway');
    const whole = joined(decodeAll([session]));
    const single = [...session].map((byte) => Buffer.of(byte));
    assert.deepEqual(joined(decodeAll(single)), whole);
    const next = random(1);
    for (let round = 0; round < 300; round++) {
      const chunks: Buffer[] = [];
      for (let at = 0; at < session.length; ) {
        const size = Math.floor(next() * 40);
        chunks.push(session.subarray(at, at + size));
        at += size;
      }
      assert.deepEqual(joined(decodeAll(chunks)), whole);
    }
  });

  it('passes a long data frame on as it comes, and holds nothing of it', () => {
    const decoder = new FrameDecoder();
    assert.deepEqual(decoder.push(encodeDataHead(3, 0xffffff, true)), []);
    const chunk = Buffer.alloc(65_536, 'x');
    for (let i = 0; i < 255; i++)
      assert.deepEqual(decoder.push(chunk), [{ type: 'data', streamId: 3, fin: false, bytes: chunk }]);
    const [last, ping] = decoder.push(Buffer.concat([chunk.subarray(1), bytes('ping')]));
    assert.deepEqual(last, { type: 'data', streamId: 3, fin: true, bytes: chunk.subarray(1) });
    assert.deepEqual(ping, { type: 'ping', id: 1 });
  });

  it('skips control frames that it does not know', () => {
    const noop = Buffer.from('8003000500000000', 'hex');
    const credential = Buffer.from('8003000a00000003010203', 'hex');
    assert.deepEqual(decodeAll([noop, credential, bytes('ping')]), [{ type: 'ping', id: 1 }]);
  });

  const BAD = {
    'another version': '80020006000000040000000100',
    'a control frame over the limit': `800300010${(MAX_CONTROL_LENGTH + 1).toString(16).padStart(7, '0')}`,
    'data of stream 0': '0000000000000000',
    'SYN_STREAM that is too short': '80030001000000090000000100000000aa',
    'SYN_STREAM of stream 0': '800300010000000a00000000000000000000',
    'SYN_REPLY that is too short': '8003000200000003000001',
    'HEADERS that are too short': '800300080000000100',
    'RST_STREAM that is too long': '8003000300000009000000030000000500',
    'RST_STREAM of stream 0': '80030003000000080000000000000005',
    'PING that is too short': '8003000600000003000001',
    'GOAWAY that is too short': '800300070000000400000001',
    'SETTINGS that claim more than there is': '8003000400000004ffffffff',
    'SETTINGS that are too short': '80030004000000020000',
    'WINDOW_UPDATE that is too short': '800300090000000400000001',
  };
  for (const [what, hex] of Object.entries(BAD))
    it(`refuses ${what}`, () => {
      assert.throws(() => new FrameDecoder().push(Buffer.from(hex, 'hex')), SpdyError);
    });

  it('neither loops nor throws anything else, whatever comes', () => {
    const next = random(7);
    const valid = Object.values(WIRE).map((hex) => Buffer.from(hex, 'hex'));
    let refused = 0;
    for (let round = 0; round < 4000; round++) {
      // Garbage alone, and real frames with some bytes turned.
      const bytes =
        round % 2 === 0
          ? Buffer.from(Array.from({ length: Math.floor(next() * 64) }, () => next() * 256))
          : Buffer.concat(
              Array.from({ length: 4 }, () => valid[Math.floor(next() * valid.length)] as Buffer),
            );
      for (let turned = 0; turned < 1 + (round % 3); turned++)
        if (bytes.length > 0) bytes[Math.floor(next() * bytes.length)] = next() * 256;
      const inflater = new HeaderInflater();
      try {
        let length = 0;
        for (const frame of decodeAll([bytes.subarray(0, 11), bytes.subarray(11)])) {
          length += frame.type === 'data' ? frame.bytes.length : 8;
          if ('block' in frame) inflater.read(frame.block);
        }
        assert.ok(length <= bytes.length);
      } catch (cause) {
        assert.ok(cause instanceof SpdyError, String(cause));
        refused += 1;
      }
    }
    assert.ok(refused > 1000, `${refused} of 4000 were refused`);
  });
});

describe('the SPDY encoder', () => {
  it('writes what the Go library writes', () => {
    for (const name of [
      'syn1',
      'syn3',
      'syn5',
      'reply',
      'headers',
      'rst',
      'ping',
      'goAway',
      'settings',
      'window',
    ] as const) {
      const [frame] = decodeAll([bytes(name)]);
      assert.ok(frame !== undefined && frame.type !== 'data');
      assert.equal(encodeControl(frame).toString('hex'), WIRE[name], name);
    }
    const data = Buffer.concat([encodeDataHead(3, 5, true), Buffer.from('hello')]);
    assert.equal(data.toString('hex'), WIRE.data);
  });
});
