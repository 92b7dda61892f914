import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodePax } from '../../../../src/image/layer/pax.ts';
import { type TarEntry, TarReader } from '../../../../src/image/layer/tar-reader.ts';
import { archive, END, paxEntry, paxRecord, tarEntry } from './archive.ts';

interface Read extends TarEntry {
  data: string;
}

/** All entries of an archive that comes in chunks of `size`. */
function read(bytes: Buffer, size = bytes.length): Read[] {
  const entries: Read[] = [];
  const reader = new TarReader({
    entry: (entry) => {
      const parts: Buffer[] = [];
      return {
        write: (chunk) => parts.push(Buffer.from(chunk)),
        end: () => entries.push({ ...entry, data: Buffer.concat(parts).toString('latin1') }),
      };
    },
  });
  for (let at = 0; at < bytes.length; at += size) reader.write(bytes.subarray(at, at + size));
  reader.end();
  return entries;
}

/** A header block after `change`, with a checksum that is right again. */
function changed(block: Buffer, change: (header: Buffer) => void): Buffer {
  const copy = Buffer.from(block);
  change(copy);
  copy.fill(' ', 148, 156);
  const sum = copy.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  copy.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 8, 'latin1');
  return copy;
}

describe('chunks', () => {
  const bytes = archive(
    tarEntry({ name: 'a', data: Buffer.from('x'.repeat(513)) }),
    paxEntry({ path: 'long/name' }, { name: 'short', data: Buffer.from('y'.repeat(512)) }),
    tarEntry({ name: 'empty' }),
  );
  for (const size of [bytes.length, 512, 511, 513, 1])
    it(`of ${size} bytes give the same entries`, () => {
      const seen = read(bytes, size).map(({ name, data }) => [name, data.length]);
      assert.deepEqual(seen, [
        ['a', 513],
        ['long/name', 512],
        ['empty', 0],
      ]);
    });
});

describe('names and values are bytes', () => {
  it('binary pax values', () => {
    const every = Buffer.from(Array.from({ length: 256 }, (_, n) => n));
    const [entry] = read(archive(paxEntry({ 'SCHILY.xattr.security.capability': every }, { name: 'file' })));
    assert.deepEqual(Buffer.from(entry?.pax['SCHILY.xattr.security.capability'] ?? '', 'latin1'), every);
  });

  it('names that are no UTF-8, plain, in pax, and long in the GNU form', () => {
    const name = Buffer.from([0x61, 0xff, 0xe9, 0x62]).toString('latin1');
    const long = name.repeat(60);
    const entries = read(
      archive(
        tarEntry({ name }),
        paxEntry({ path: Buffer.from(name, 'latin1'), linkpath: 'target' }, { name: 'x', type: '2' }),
        tarEntry({ name: '././@LongLink', type: 'L', data: Buffer.from(`${long}\0`, 'latin1') }),
        tarEntry({ name: '././@LongLink', type: 'K', data: Buffer.from(`${long}/to\0`, 'latin1') }),
        tarEntry({ name: 'cut', type: '2', linkname: 'cut' }),
        tarEntry({ name: 'after' }),
      ),
    );
    assert.deepEqual(
      entries.map((entry) => [entry.name, entry.linkname]),
      [
        [name, ''],
        [name, 'target'],
        [long, `${long}/to`],
        ['after', ''],
      ],
    );
  });

  it('a prefix belongs to the name, in POSIX headers only', () => {
    const block = tarEntry({ name: 'name' });
    const posix = changed(block, (header) => header.write('some/prefix', 345));
    const gnu = changed(posix, (header) => header.write('ustar  \0', 257, 'latin1'));
    assert.deepEqual(
      read(Buffer.concat([posix, gnu, END])).map((entry) => entry.name),
      ['some/prefix/name', 'name'],
    );
  });
});

it('numbers in base 256 (GNU), also negative', () => {
  const block = changed(tarEntry({ name: 'n' }), (header) => {
    header.fill(0, 108, 116).writeUInt8(0x80, 108);
    header.writeUInt32BE(3_000_000_000, 112);
    header.fill(0xff, 136, 148).writeInt32BE(-7, 144);
  });
  const [entry] = read(Buffer.concat([block, END]));
  assert.deepEqual([entry?.uid, entry?.mtime], [3_000_000_000, -7]);
});

it('global pax headers say nothing of the entries after them, as with containerd and umoci', () => {
  const global = tarEntry({ name: 'g', type: 'g', data: paxRecord('path', Buffer.from('other')) });
  assert.deepEqual(
    read(archive(global, tarEntry({ name: 'own' }))).map((entry) => entry.name),
    ['own'],
  );
});

it('the size that old archivers note on a hard link is not taken for data', () => {
  const bytes = archive(
    tarEntry({ name: 'link', type: '1', linkname: 'file', size: 5_000 }),
    tarEntry({ name: 'next' }),
  );
  assert.deepEqual(
    read(bytes).map((entry) => entry.name),
    ['link', 'next'],
  );
});

it('an old archive names its directories by a slash alone', () => {
  const block = changed(tarEntry({ name: 'd/' }), (header) => header.fill(0, 156, 157));
  assert.equal(read(Buffer.concat([block, END]))[0]?.type, '5');
});

describe('what is damaged is told', () => {
  const whole = archive(tarEntry({ name: 'f', data: Buffer.alloc(700, 'x') }));
  const cases: [string, Buffer, RegExp][] = [
    ['no archive', Buffer.from('no archive '.repeat(100)), /checksum of a header/],
    ['a cut header', whole.subarray(0, 300), /middle of an entry/],
    ['a cut file', whole.subarray(0, 512 + 600), /middle of an entry/],
    ['a pax header without its entry', paxEntry({ a: 'b' }, { name: 'x' }).subarray(0, 1024), /middle/],
    [
      'an empty block in between',
      Buffer.concat([Buffer.alloc(512), tarEntry({ name: 'x' }), END]),
      /empty block/,
    ],
    [
      'a pax header of 1 GiB',
      tarEntry({ name: 'pax', type: 'x', size: 2 ** 30 }),
      /a header of 1073741824 bytes/,
    ],
    [
      'a negative size',
      changed(tarEntry({ name: 'x' }), (header) => header.fill(0xff, 124, 136)),
      /negative size/,
    ],
  ];
  for (const [name, bytes, message] of cases) it(name, () => assert.throws(() => read(bytes), message));

  it('but the end marks and the last padding may be missing', () => {
    assert.equal(read(whole.subarray(0, 512 + 700))[0]?.data.length, 700);
    assert.equal(read(whole.subarray(0, 512 + 1024)).length, 1);
    assert.equal(read(Buffer.alloc(0)).length, 0);
  });
});

describe('decodePax', () => {
  const good = paxRecord('a', Buffer.from('1'));
  it('takes values by their length', () => {
    const value = Buffer.from('x\n7 b=2\n');
    assert.deepEqual(
      { ...decodePax(Buffer.concat([paxRecord('a', value), Buffer.alloc(9)])) },
      {
        a: value.toString(),
      },
    );
  });
  it('refuses records of a wrong length', () => {
    for (const bad of ['99 b=2\n', '0 b=2\n', 'no length', '6 b=22\n', '4 =\n'])
      assert.throws(() => decodePax(Buffer.concat([good, Buffer.from(bad)])), /pax header/, bad);
  });
  it('lets the archive choose no property of the object', () => {
    assert.deepEqual(Object.keys(decodePax(paxRecord('__proto__', Buffer.from('x')))), ['__proto__']);
  });
});
