import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { it } from 'node:test';
import type { Header } from 'tar-stream';
import { decodePax, tarReader } from '../../../../src/image/layer/tar-reader.ts';
import { END, paxRecord, tarEntry } from './archive.ts';

async function headersOf(archive: Buffer): Promise<Header[]> {
  const headers: Header[] = [];
  const reader = tarReader();
  reader.on('entry', (header, stream, next) => {
    headers.push(header);
    stream.on('end', () => next());
    stream.resume();
  });
  reader.end(archive);
  await new Promise<void>((resolve, reject) => {
    reader.on('finish', () => resolve());
    reader.on('error', reject);
  });
  return headers;
}

it('is held to the version that was read', () => {
  const main = createRequire(import.meta.url).resolve('tar-stream');
  const { version } = JSON.parse(readFileSync(join(dirname(main), 'package.json'), 'utf8')) as {
    version: string;
  };
  assert.equal(version, '3.2.2');
});

it('binary pax values reach the reader byte for byte', async () => {
  const every = Buffer.from(Array.from({ length: 256 }, (_, n) => n));
  const archive = Buffer.concat([
    tarEntry({ name: 'pax', type: 'x', data: paxRecord('SCHILY.xattr.security.capability', every) }),
    tarEntry({ name: 'file', data: Buffer.from('hello') }),
    END,
  ]);
  const [header] = await headersOf(archive);
  const pax = header?.pax as Record<string, string>;
  assert.deepEqual(Buffer.from(pax['SCHILY.xattr.security.capability'] ?? '', 'latin1'), every);
});

it('names that are no UTF-8 keep their bytes, plain and in pax', async () => {
  const name = Buffer.from([0x61, 0xff, 0xe9, 0x62]);
  const archive = Buffer.concat([
    tarEntry({ name: name.toString('latin1') }),
    tarEntry({ name: 'pax', type: 'x', data: paxRecord('path', name) }),
    tarEntry({ name: 'other' }),
    END,
  ]);
  const headers = await headersOf(archive);
  assert.deepEqual(
    headers.map((header) => Buffer.from(header.name, 'latin1')),
    [name, name],
  );
});

it('the size that old archivers note on a hard link is not taken for data', async () => {
  const archive = Buffer.concat([
    tarEntry({ name: 'link', type: '1', linkname: 'file', size: 5_000 }),
    tarEntry({ name: 'next' }),
    END,
  ]);
  assert.deepEqual(
    (await headersOf(archive)).map((header) => header.name),
    ['link', 'next'],
  );
});

it('pax records end where they are damaged, and choose no property of the object', () => {
  const good = paxRecord('a', Buffer.from('1'));
  assert.deepEqual({ ...decodePax(Buffer.concat([good, Buffer.from('99 b=2\n')])) }, { a: '1' });
  assert.deepEqual({ ...decodePax(Buffer.concat([good, Buffer.from('0 b=2\n')])) }, { a: '1' });
  assert.deepEqual({ ...decodePax(Buffer.from('no length')) }, {});
  const proto = decodePax(paxRecord('__proto__', Buffer.from('x')));
  assert.deepEqual(Object.keys(proto), ['__proto__']);
});
