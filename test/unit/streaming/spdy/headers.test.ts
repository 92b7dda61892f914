import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { createInflate, deflateSync, constants as zlib } from 'node:zlib';
import { DICTIONARY } from '../../../../src/streaming/spdy/dictionary.ts';
import { SpdyError } from '../../../../src/streaming/spdy/frames.ts';
import {
  HeaderDeflater,
  HeaderInflater,
  MAX_HEADER_BYTES,
  MAX_HEADERS,
} from '../../../../src/streaming/spdy/headers.ts';

/** Name and value pairs as SPDY/3 lays them out, not compressed. */
function plain(pairs: [string, string][], count = pairs.length): Buffer {
  const number = (value: number) => Buffer.from(value.toString(16).padStart(8, '0'), 'hex');
  return Buffer.concat([
    number(count),
    ...pairs.flatMap((pair) => pair.flatMap((text) => [number(Buffer.byteLength(text)), Buffer.from(text)])),
  ]);
}

function deflated(bytes: Buffer): Buffer {
  return deflateSync(bytes, { dictionary: DICTIONARY, finishFlush: zlib.Z_SYNC_FLUSH });
}

describe('SPDY headers', () => {
  it('have the dictionary of the specification', () => {
    // Of the 1423 bytes in the draft, as moby/spdystream has them.
    const sum = '51d27341373f923f3cd88e1eb7162aeaa3723d7585ff2399201dc06498407f02';
    assert.equal(createHash('sha256').update(DICTIONARY).digest('hex'), sum);
  });

  it('come back as they were written, block after block', () => {
    const deflater = new HeaderDeflater();
    const inflater = new HeaderInflater();
    for (let i = 0; i < 200; i++) {
      const headers = new Map([
        ['streamtype', 'data'],
        ['requestid', String(i)],
        ['pad', 'x'.repeat(i * 7)],
      ]);
      assert.deepEqual(inflater.read(deflater.write(headers)), headers);
    }
  });

  it('are written as a zlib stream that any inflater reads', async () => {
    const deflater = new HeaderDeflater();
    const stream = createInflate({ dictionary: DICTIONARY });
    stream.write(deflater.write(new Map([['streamtype', 'error']])));
    stream.write(deflater.write(new Map()));
    stream.flush();
    let got = Buffer.alloc(0);
    for await (const chunk of stream) {
      got = Buffer.concat([got, chunk]);
      if (got.length >= 27 + 4) break;
    }
    assert.deepEqual(got, Buffer.concat([plain([['streamtype', 'error']]), plain([])]));
  });

  it('are told apart whatever the case of their names', () => {
    const inflater = new HeaderInflater();
    assert.equal(inflater.read(deflated(plain([['StreamType', 'Error']]))).get('streamtype'), 'Error');
  });

  const twice: [string, string][] = [
    ['a', '1'],
    ['A', '2'],
  ];
  const BAD: Record<string, Buffer> = {
    'nothing at all': Buffer.alloc(0),
    'no zlib stream': Buffer.from('0123456789'),
    'a zlib stream without the dictionary': deflateSync(plain([])),
    'another dictionary': deflateSync(plain([]), { dictionary: Buffer.from('abc') }),
    'a damaged stream': Buffer.concat([deflated(plain([])).subarray(0, 6), Buffer.from('ffffffff', 'hex')]),
    'less than they claim': deflated(plain([], 1)),
    'a name longer than the block': deflated(Buffer.from('00000001ffffffff61', 'hex')),
    'too many': deflated(plain([], MAX_HEADERS + 1)),
    'the same one twice': deflated(plain(twice)),
    'a bomb': deflated(plain([['a', 'x'.repeat(MAX_HEADER_BYTES)]])),
  };
  for (const [what, block] of Object.entries(BAD))
    it(`are refused: ${what}`, () => {
      assert.throws(() => new HeaderInflater().read(block), SpdyError);
    });
});
