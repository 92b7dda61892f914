import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { isCode } from '../../../../src/base/errors.ts';
import { digestOf } from '../../../../src/image/digest.ts';
import { inflate } from '../../../../src/image/layer/inflate.ts';
import { verified } from '../../../../src/image/layer/verify.ts';

async function* chunks(data: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < data.length; at += size) yield data.subarray(at, at + size);
}

async function all(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  // A chunk is good until the next one is asked for.
  for await (const part of source) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}

const text = Buffer.from('all work and no play '.repeat(40_000));
const noise = randomBytes(900_000);
const options = { what: 'layer x', ahead: () => true };
const both = Buffer.concat([text, noise]);

function skippable(length: number): Buffer {
  const frame = Buffer.alloc(8 + length, 7);
  frame.writeUInt32LE(0x184d2a53, 0);
  frame.writeUInt32LE(length, 4);
  return frame;
}

describe('inflate', () => {
  const forms: [string, Buffer][] = [
    ['plain', both],
    ['gzip', gzipSync(both)],
    ['gzip of several members', Buffer.concat([gzipSync(text), gzipSync(noise)])],
    ['gzip with padding', Buffer.concat([gzipSync(both), Buffer.alloc(300_000)])],
    ['zstd', zstdCompressSync(both)],
    ['zstd of several frames', Buffer.concat([zstdCompressSync(text), zstdCompressSync(noise)])],
    [
      'zstd with skippable frames',
      Buffer.concat([
        skippable(3),
        zstdCompressSync(text),
        skippable(70_000),
        zstdCompressSync(noise),
        skippable(0),
      ]),
    ],
  ];
  for (const [name, packed] of forms)
    for (const size of [1 << 20, 65_536, 997])
      for (const ahead of [false, true])
        it(`unpacks ${name} in chunks of ${size}${ahead ? ', ahead' : ''}`, async () => {
          assert.ok(
            (await all(inflate(chunks(packed, size), { what: 'layer x', ahead: () => ahead }))).equals(both),
          );
        });

  it('single bytes at a time', async () => {
    const packed = Buffer.concat([zstdCompressSync(Buffer.from('ab')), zstdCompressSync(Buffer.from('cd'))]);
    assert.equal((await all(inflate(chunks(packed, 1), options))).toString(), 'abcd');
    assert.equal((await all(inflate(chunks(gzipSync('abcd'), 1), options))).toString(), 'abcd');
    assert.equal((await all(inflate(chunks(Buffer.alloc(0), 1), options))).length, 0);
  });

  for (const [name, packed] of [
    ['gzip', gzipSync(both)],
    ['zstd', zstdCompressSync(both)],
  ] as const) {
    it(`a cut ${name} stream is an error`, async () => {
      await assert.rejects(
        all(inflate(chunks(packed.subarray(0, packed.length - 9), 65_536), options)),
        (error) => isCode(error, 'data_loss'),
      );
    });
    it(`a damaged ${name} stream is an error`, async () => {
      const damaged = Buffer.from(packed);
      // The first block's header and tables: a raw block that is damaged is the digest's to find.
      damaged.fill(0xff, 6, 400);
      await assert.rejects(all(inflate(chunks(damaged, 65_536), options)), (error) =>
        isCode(error, 'data_loss'),
      );
    });
  }

  it('an error of the source comes through as it is', async () => {
    async function* failing() {
      yield gzipSync(both).subarray(0, 100_000);
      throw new Error('cut');
    }
    await assert.rejects(all(inflate(failing(), options)), /^Error: cut$/);
  });

  it('a reader that stops ends the source', async () => {
    let ended = false;
    async function* endless() {
      try {
        for (;;) yield gzipSync(text);
      } finally {
        ended = true;
      }
    }
    for await (const _ of inflate(endless(), options)) break;
    assert.ok(ended);
  });
});

describe('verified', () => {
  const digest = digestOf(text);
  const check = (data: Buffer, size: number | null, expected = digest) =>
    all(verified(chunks(data, 10_000), { digest: expected, size, what: 'layer x' }));

  it('lets pass what is as promised, and nothing else', async () => {
    assert.ok((await check(text, text.length)).equals(text));
    assert.ok((await check(text, null)).equals(text));
    const wrong = digestOf('other');
    await assert.rejects(
      check(text, text.length, wrong),
      (error) =>
        isCode(error, 'data_loss') && error.message.includes(digest) && error.message.includes(wrong),
    );
    await assert.rejects(check(text, text.length + 1), /has \d+ bytes, its manifest says/);
    await assert.rejects(check(text, 5), /has more than \d+ bytes, its manifest says 5/);
  });
});
