import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PaxRecords } from '../../../../src/image/layer/pax.ts';
import { checkMap, DataMapReader, paxMap } from '../../../../src/image/layer/sparse.ts';
import { TarReader } from '../../../../src/image/layer/tar-reader.ts';
import { archive, paxEntry, tarEntry } from './archive.ts';

const refused = (entry: Buffer) => () =>
  new TarReader({ entry: () => undefined }).write(Buffer.concat([entry, archive()]));

describe('the map of a sparse file', () => {
  it('must lie within the file, in order, and agree with the data', () => {
    const part = (offset: number, length: number) => ({ offset, length });
    checkMap({ size: 10, parts: [part(0, 2), part(2, 0), part(5, 5)] }, 7);
    for (const [parts, stored] of [
      [[part(5, 5), part(0, 2)], 7],
      [[part(0, 3), part(2, 2)], 5],
      [[part(8, 3)], 3],
      [[part(0, 2)], 3],
      [[], 1],
    ] as const)
      assert.throws(() => checkMap({ size: 10, parts: [...parts] }, stored), /sparse file/);
  });

  it('must be whole in pax records', () => {
    const incomplete: PaxRecords[] = [
      { 'GNU.sparse.map': '0,1,2' },
      { 'GNU.sparse.map': '0,x' },
      { 'GNU.sparse.offset': '1,2', 'GNU.sparse.numbytes': '1' },
      { 'GNU.sparse.map': '-1,3' },
    ];
    for (const records of incomplete)
      assert.throws(() => paxMap({ 'GNU.sparse.size': '10', ...records }), /sparse/);
  });

  it('before the data is read line by line, however its blocks fall', () => {
    const numbers = [300, ...Array.from({ length: 600 }, (_, n) => n * 1_000_003)];
    const text = Buffer.from(`${numbers.join('\n')}\n`);
    const bytes = Buffer.concat([text, Buffer.alloc(-text.length & 511)]);
    const reader = new DataMapReader();
    for (let at = 0; at < bytes.length; at += 512) {
      const parts = reader.push(bytes.subarray(at, at + 512));
      assert.equal(parts === undefined, at + 512 < bytes.length);
      if (parts !== undefined) assert.deepEqual(parts[299], { offset: numbers[599], length: numbers[600] });
    }
  });

  const version1 = { 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '10' };
  const attacks: [string, Buffer, RegExp][] = [
    [
      'more parts than any file has',
      paxEntry(version1, { name: 'f', data: Buffer.from(`99999999999\n${' '.repeat(600)}`) }),
      /too many parts/,
    ],
    ['no numbers', paxEntry(version1, { name: 'f', data: Buffer.alloc(600, 'x') }), /no numbers/],
    ['a map that never ends', paxEntry(version1, { name: 'f', data: Buffer.from('5\n') }), /sparse file/],
    [
      'an extension that is missing',
      Buffer.concat([tarEntry({ name: 'f', type: 'S', size: 10 })]),
      /sparse file/,
    ],
  ];
  for (const [name, entry, message] of attacks) it(name, () => assert.throws(refused(entry), message));
});
