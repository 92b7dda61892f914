import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { NO_RECORDS } from '../../../../src/image/layer/pax.ts';
import { cleanPath, layerStep, parsePaxTime } from '../../../../src/image/layer/tar-entry.ts';
import type { TarEntry } from '../../../../src/image/layer/tar-reader.ts';

function header(over: Partial<TarEntry>): TarEntry {
  return {
    name: 'f',
    type: '0',
    linkname: '',
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: 0,
    mtime: 0,
    deviceMajor: 0,
    deviceMinor: 0,
    sparse: null,
    pax: NO_RECORDS,
    ...over,
  };
}

describe('cleanPath', () => {
  const table: [string, string][] = [
    ['a/b', 'a/b'],
    ['./a/b/', 'a/b'],
    ['/etc/passwd', 'etc/passwd'],
    ['../../etc/passwd', 'etc/passwd'],
    ['a/../../b', 'b'],
    ['a//b/./c', 'a/b/c'],
    ['./', ''],
    ['/', ''],
    ['..', ''],
  ];
  for (const [name, expected] of table)
    it(JSON.stringify(name), () => assert.equal(cleanPath(name), expected));
});

describe('layerStep', () => {
  const step = (name: string) => layerStep(header({ name }));

  it('knows whiteouts by their names (layer.md)', () => {
    assert.deepEqual(step('a/.wh.b'), { kind: 'whiteout', path: 'a/b' });
    assert.deepEqual(step('.wh.b'), { kind: 'whiteout', path: 'b' });
    assert.deepEqual(step('./a/.wh..wh..opq'), { kind: 'opaque', path: 'a' });
    assert.deepEqual(step('.wh..wh..opq'), { kind: 'opaque', path: '' });
    assert.deepEqual(step('.wh..wh.plnk'), { kind: 'skip' });
    assert.equal(step('a.wh.b').kind, 'entry');
    for (const name of ['.wh.', '.wh..', '.wh...']) assert.throws(() => step(`a/${name}`), /names no file/);
  });

  it('takes owners, times and xattrs from pax where the header cannot hold them', () => {
    const made = layerStep(
      header({
        mode: 0o4755,
        uid: 1,
        gid: 2,
        mtime: 5,
        pax: {
          uid: '3000000',
          mtime: '1700000000.000000007',
          atime: '-1.25',
          'SCHILY.xattr.user.x': '\xff\x00',
        },
      }),
    );
    assert.ok(made.kind === 'entry');
    const { uid, gid, mode, mtime, atime, xattrs } = made.entry;
    assert.deepEqual([uid, gid, mode], [3_000_000, 2, 0o4755]);
    assert.deepEqual(mtime, { sec: 1_700_000_000, nsec: 7 });
    assert.deepEqual(atime, { sec: -2, nsec: 750_000_000 });
    assert.deepEqual(xattrs, [{ name: 'user.x', value: Buffer.from([0xff, 0]) }]);
  });

  it('refuses what it cannot write', () => {
    assert.throws(() => layerStep(header({ type: 'M' })), /an entry of type "M" is none/);
    assert.throws(() => layerStep(header({ name: 'a\0b' })), /a name holds a NUL/);
    assert.throws(() => layerStep(header({ type: '2', linkname: 'a\0b' })), /a name holds a NUL/);
    assert.throws(() => layerStep(header({ pax: { uid: '4294967295' } })), /not a user or group/);
    assert.throws(() => layerStep(header({ uid: -5 })), /not a user or group/);
  });
});

it('parsePaxTime', () => {
  assert.deepEqual(parsePaxTime('12'), { sec: 12, nsec: 0 });
  assert.deepEqual(parsePaxTime('12.5'), { sec: 12, nsec: 500_000_000 });
  assert.deepEqual(parsePaxTime('12.1234567891'), { sec: 12, nsec: 123_456_789 });
  assert.deepEqual(parsePaxTime('-3'), { sec: -3, nsec: 0 });
  for (const text of ['', 'x', '1e3', undefined]) assert.equal(parsePaxTime(text), undefined);
});
