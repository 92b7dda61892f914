import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EncodedList } from '../../../src/cri/encoded-list.ts';
import { message } from '../../../src/cri/proto.ts';
import { containerMessage } from '../../../src/cri/translate/container-status.ts';
import { sandboxMessage } from '../../../src/cri/translate/sandbox-status.ts';
import { containerRow, sandboxRow } from './fixtures.ts';

describe('EncodedList', () => {
  it('gives the bytes of the plain encoding for lists of every length of item', () => {
    const list = new EncodedList<ReturnType<typeof containerRow>>((row) =>
      message('Container').serialize(containerMessage(row)),
    );
    // Items below and above the sizes where the length takes one, two and three bytes.
    const rows = [0, 1, 60, 127, 128, 5000, 16_383, 16_384, 70_000].map((size, at) =>
      containerRow({ id: `${at}`, imageRef: 'x'.repeat(size) }),
    );
    for (const some of [[], rows.slice(0, 1), rows]) {
      const plain = message('ListContainersResponse').serialize({ containers: some.map(containerMessage) });
      assert.deepEqual(list.join(some), Buffer.from(plain));
    }
  });

  it('does the same for sandboxes', () => {
    const list = new EncodedList<ReturnType<typeof sandboxRow>>((row) =>
      message('PodSandbox').serialize(sandboxMessage(row)),
    );
    const rows = [sandboxRow(), sandboxRow({ id: 'c', state: 'notready' })];
    const plain = message('ListPodSandboxResponse').serialize({ items: rows.map(sandboxMessage) });
    assert.deepEqual(list.join(rows), Buffer.from(plain));
  });

  it('encodes a row once, and its replacement anew', () => {
    let encoded = 0;
    const list = new EncodedList<{ text: string }>((row) => {
      encoded += 1;
      return Buffer.from(row.text);
    });
    const row = { text: 'ab' };
    const first = list.join([row]);
    assert.deepEqual(list.join([row]), first);
    assert.equal(encoded, 1);
    assert.deepEqual(list.join([{ ...row, text: 'cd' }]), Buffer.from('\x0a\x02cd'));
    assert.equal(encoded, 2);
  });

  it('batches rows by bytes: every row once, in order, no message without one', () => {
    const list = new EncodedList<{ size: number }>((row) => Buffer.alloc(row.size));
    const rows = [40, 40, 40, 500, 10, 88, 90].map((size) => ({ size }));
    const batches = [...list.batches(rows, 100)];
    assert.deepEqual(Buffer.concat(batches), list.join(rows));
    // Each item is two bytes longer than its row, three from 128 on; the one over the limit goes alone.
    assert.deepEqual(
      batches.map((bytes) => bytes.length),
      [84, 42, 503, 12, 90, 92],
    );
    assert.deepEqual([...list.batches([])], []);
  });

  it('encodes the rows of a batch when it is asked for', () => {
    let encoded = 0;
    const list = new EncodedList<{ size: number }>((row) => {
      encoded += 1;
      return Buffer.alloc(row.size);
    });
    const batches = list.batches([{ size: 80 }, { size: 80 }, { size: 80 }, { size: 80 }], 100);
    assert.equal(encoded, 0);
    batches.next();
    assert.equal(encoded, 2);
  });
});
