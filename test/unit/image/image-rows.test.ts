import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { silentLog } from '../../../src/base/log.ts';
import { Rows } from '../../../src/base/rows.ts';
import { ImageRows } from '../../../src/image/image-rows.ts';
import { findImage } from '../../../src/image/names.ts';
import { parseReference } from '../../../src/image/reference.ts';
import type { ImageRow } from '../../../src/image/types.ts';

const hex = (n: number) => n.toString(16).padStart(4, '0').repeat(16);
const digest = (n: number) => `sha256:${hex(n)}`;

function row(n: number, over: Partial<ImageRow> = {}): ImageRow {
  return {
    id: digest(n),
    repoTags: [],
    repoDigests: [],
    size: 1,
    config: {
      user: '',
      env: [],
      entrypoint: [],
      cmd: [],
      workingDir: '',
      volumes: [],
      stopSignal: '',
      labels: {},
    },
    diffIds: [digest(100 + n)],
    architecture: 'amd64',
    os: 'linux',
    blobs: [],
    thin: null,
    pinned: false,
    pulledAt: String(n),
    ...over,
  };
}

function rowsOf(...stored: ImageRow[]): ImageRows {
  const writer = { write: async () => undefined };
  return new ImageRows({
    rows: new Rows<ImageRow>({ table: 'images' }, { writer, stored }),
    log: silentLog(),
  });
}

describe('names', () => {
  it('a pull adds its names, and a tag leaves the image that had it', async () => {
    const rows = rowsOf();
    await rows.pulled(parseReference('app:1'), row(1), digest(11));
    await rows.pulled(parseReference('app:2'), row(1), digest(11));
    await rows.pulled(parseReference('app:1'), row(2), digest(12));
    await rows.pulled(parseReference(`app@${digest(13)}`), row(3), digest(13));
    const name = 'docker.io/library/app';
    assert.deepEqual(
      rows.values().map(({ repoTags, repoDigests }) => [repoTags, repoDigests]),
      [
        [[`${name}:2`], [`${name}@${digest(11)}`]],
        [[`${name}:1`], [`${name}@${digest(12)}`]],
        [[], [`${name}@${digest(13)}`]],
      ],
    );
  });

  it('after a crash between the two writes of a moved tag the later pull has it', async () => {
    const tag = 'docker.io/library/app:1';
    const rows = rowsOf(
      row(5, { repoTags: [tag] }),
      row(9, { repoTags: [tag] }),
      row(7, { repoTags: [tag] }),
    );
    await rows.recover(() => true);
    assert.deepEqual(
      rows.values().map(({ repoTags }) => repoTags),
      [[], [tag], []],
    );
  });

  it('an image without one of its layers is dropped', async () => {
    const rows = rowsOf(row(1), row(2), row(3, { thin: 'chain:x' }));
    await rows.recover((id) => id !== digest(101) && id !== 'chain:x');
    assert.deepEqual(
      rows.values().map(({ id }) => id),
      [digest(2)],
    );
  });
});

describe('findImage', () => {
  const one = row(0xabcd, { repoTags: ['docker.io/library/abcd:latest', 'quay.io/x/y:1'] });
  const other = row(0xabce, { repoDigests: [`quay.io/x/y@${digest(1)}`] });
  const rows = [other, one];

  it('knows an image by each of its names', () => {
    for (const name of [one.id, hex(0xabcd), hex(0xabcd).slice(0, 12), 'abcd', 'quay.io/x/y:1'])
      assert.equal(findImage(rows, name)?.id, one.id, name);
    assert.equal(findImage(rows, `quay.io/x/y@${digest(1)}`)?.id, other.id);
    assert.equal(findImage(rows, `quay.io/x/y:9@${digest(1)}`)?.id, other.id);
  });

  it('a name wins over the beginning of an id; one that several ids have is none', () => {
    assert.equal(findImage([other, row(0xabcd)], 'abcd')?.id, digest(0xabcd));
    assert.equal(
      findImage([one, row(0x1234, { repoTags: ['docker.io/library/abcd:latest'] })].reverse(), 'abcd')?.id,
      digest(0x1234),
    );
    assert.equal(findImage([row(0xaaaa), { ...row(1), id: `sha256:${'a'.repeat(63)}b` }], 'aaaa'), undefined);
    for (const name of ['abc', 'quay.io/x/y', 'sha256:', '', '!'])
      assert.equal(findImage(rows, name), undefined, name);
  });
});
