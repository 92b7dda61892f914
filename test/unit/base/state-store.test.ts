import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { StateStore } from '../../../src/base/state-store.ts';

interface Row {
  id: string;
  n: number;
}

const why = (subject: string) => ({ subject, what: 'test' });

describe('StateStore', () => {
  let directory: string;
  let path: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'skiff-state-'));
    path = join(directory, 'skiff.db');
  });
  afterEach(() => rm(directory, { recursive: true }));

  it('gives rows back after it was opened again, oldest first', async () => {
    const store = await StateStore.open(path);
    const rows = store.rows<Row>('sandboxes');
    for (const id of ['b', 'a', 'c']) await rows.insert({ id, n: 1 }, why(id));
    await rows.update('b', (row) => ({ ...row, n: 2 }), why('b'));
    await rows.delete('c', why('c'));
    await store.close();

    const again = await StateStore.open(path);
    assert.deepEqual(again.rows<Row>('sandboxes').values(), [
      { id: 'b', n: 2 },
      { id: 'a', n: 1 },
    ]);
    await again.close();
  });

  it('publishes a row only after it is on disk', async () => {
    const store = await StateStore.open(path);
    const rows = store.rows<Row>('containers');
    const inserted = rows.insert({ id: 'x', n: 1 }, why('x'));
    assert.equal(rows.get('x'), undefined);
    await inserted;
    const reader = new DatabaseSync(path, { readOnly: true });
    assert.equal(reader.prepare('SELECT count(*) AS n FROM containers').get()?.n, 1);
    reader.close();
    assert.deepEqual(rows.get('x'), { id: 'x', n: 1 });
    await store.close();
  });

  it('runs changes of one row one after another', async () => {
    const store = await StateStore.open(path);
    const rows = store.rows<Row>('containers');
    await rows.insert({ id: 'x', n: 0 }, why('x'));
    const add = (row: Row) => ({ ...row, n: row.n + 1 });
    await Promise.all(Array.from({ length: 50 }, () => rows.update('x', add, why('x'))));
    assert.equal(rows.get('x')?.n, 50);
    await store.close();
  });

  it('refuses a second row of one id and an update of none', async () => {
    const store = await StateStore.open(path);
    const rows = store.rows<Row>('images');
    await rows.insert({ id: 'x', n: 0 }, why('x'));
    await assert.rejects(rows.insert({ id: 'x', n: 1 }, why('x')), { code: 'already_exists' });
    await assert.rejects(
      rows.update('y', (row) => row, why('y')),
      { code: 'not_found' },
    );
    assert.equal(rows.get('x')?.n, 0);
    await store.close();
  });

  it('finds rows by a unique prefix and refuses an ambiguous one', async () => {
    const store = await StateStore.open(path);
    const rows = store.rows<Row>('sandboxes');
    await rows.insert({ id: 'abc', n: 0 }, why('abc'));
    await rows.insert({ id: 'abd', n: 1 }, why('abd'));
    assert.equal(rows.find('abd')?.n, 1);
    assert.equal(rows.find('x'), undefined);
    assert.throws(() => rows.find('ab'), { code: 'invalid_argument' });
    await store.close();
  });

  it('keeps a journal that can be asked by subject and told as it grows', async () => {
    const store = await StateStore.open(path);
    const rows = store.rows<Row>('sandboxes');
    const told: string[] = [];
    store.onJournal((row) => told.push(`${row.seq} ${row.subject} ${row.what}`));
    await rows.insert({ id: 'a', n: 0 }, { subject: 'a', what: 'created', detail: { by: 'test' } });
    await rows.insert({ id: 'b', n: 0 }, { subject: 'b', what: 'created' });
    const entries = await store.journal({ subject: 'a', after: 0, limit: 10 });
    assert.deepEqual(
      entries.map(({ seq, subject, what, detail }) => ({ seq, subject, what, detail })),
      [{ seq: 1, subject: 'a', what: 'created', detail: { by: 'test' } }],
    );
    assert.deepEqual(told, ['1 a created', '2 b created']);
    assert.equal((await store.journal({ subject: '', after: 1, limit: 10 })).length, 1);
    await store.close();
  });

  it('refuses a database of a newer schema', async () => {
    const database = new DatabaseSync(path);
    database.exec('PRAGMA user_version=99');
    database.close();
    await assert.rejects(StateStore.open(path), { code: 'failed_precondition', message: /newer skiff/ });
  });

  it('loses no acknowledged row when the process is killed', async () => {
    const script = join(import.meta.dirname, 'state-store-writer.ts');
    const child = spawn(process.execPath, [script, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    const lines = createInterface({ input: child.stdout });
    let acknowledged = 0;
    for await (const line of lines) {
      acknowledged = Number(line);
      if (acknowledged >= 200) child.kill('SIGKILL');
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    assert.ok(acknowledged >= 200);
    const store = await StateStore.open(path);
    const ids = new Set(
      store
        .rows<Row>('containers')
        .values()
        .map((row) => row.n),
    );
    for (let n = 1; n <= acknowledged; n += 1) assert.ok(ids.has(n), `row ${n} is lost`);
    await store.close();
  });
});
