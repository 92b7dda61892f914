import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SkiffError } from '../../../src/base/errors.ts';
import { silentLog } from '../../../src/base/log.ts';
import { Operation } from '../../../src/base/operation.ts';
import { Operations } from '../../../src/service/operations.ts';

const log = silentLog();

describe('Operation', () => {
  it('undoes in reverse what succeeded, and goes on past an undo that fails', async () => {
    const op = new Operation('test', 'x', log);
    const undone: string[] = [];
    await op.step(
      'first',
      () => 1,
      () => undone.push('first'),
    );
    await op.step(
      'second',
      () => 2,
      () => {
        undone.push('second');
        throw new Error('stuck');
      },
    );
    await assert.rejects(
      op.step(
        'third',
        () => {
          throw new SkiffError('unavailable', 'no luck');
        },
        () => undone.push('third'),
      ),
      { code: 'unavailable', message: 'third: no luck' },
    );
    const failures = await op.rollback();
    assert.deepEqual(undone, ['second', 'first']);
    assert.deepEqual(
      failures.map((failure) => failure.message),
      ['undo second: stuck'],
    );
  });

  it('keeps what it made once it is committed', async () => {
    const op = new Operation('test', 'x', log);
    let undone = false;
    await op.step(
      'only',
      () => 1,
      () => {
        undone = true;
      },
    );
    op.commit();
    assert.deepEqual(await op.rollback(), []);
    assert.equal(undone, false);
  });

  it('tells which steps run now and how long each took', async () => {
    const op = new Operation('test', 'x', log);
    const { promise, resolve } = Promise.withResolvers<void>();
    const slow = op.step('slow', () => promise);
    await op.step('quick', () => 1);
    assert.deepEqual(
      op.current.map((step) => step.name),
      ['slow'],
    );
    resolve();
    await slow;
    assert.deepEqual(op.current, []);
    assert.deepEqual(Object.keys(op.timings()), ['slow', 'quick']);
  });
});

describe('Operations', () => {
  it('lists what runs, and hands the failures of undos on', async () => {
    const operations = new Operations({ log });
    const told: string[][] = [];
    await assert.rejects(
      operations.run(
        'RunPodSandbox',
        'abc',
        async (op) => {
          assert.deepEqual(
            operations.list().map(({ name, subject }) => ({ name, subject })),
            [{ name: 'RunPodSandbox', subject: 'abc' }],
          );
          op.owe('address', () => {
            throw new Error('plugin hangs');
          });
          throw new Error('no');
        },
        async (failures) => told.push(failures.map((failure) => failure.message)),
      ),
      { message: 'no' },
    );
    assert.deepEqual(told, [['undo address: plugin hangs']]);
    assert.deepEqual(operations.list(), []);
  });
});
