import assert from 'node:assert/strict';
import { appendFile, mkdtemp, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseLogLine, readLog } from '../../../src/cli/container-log.ts';
import { LogWriter } from '../../../src/cli/log-writer.ts';

const TIME = '2030-01-31T12:00:00.123456789Z';

function line(text: string, tag = 'F', stream = 'stdout'): string {
  return `${TIME} ${stream} ${tag} ${text}\n`;
}

describe('a log line', () => {
  const good: [text: string, message: string, partial: boolean, stream: string][] = [
    [`${TIME} stdout F hello world`, 'hello world', false, 'stdout'],
    [`${TIME} stderr P half`, 'half', true, 'stderr'],
    [`${TIME} stdout F `, '', false, 'stdout'],
    [`${TIME} stdout F`, '', false, 'stdout'],
    [`${TIME} stdout F  two spaces `, ' two spaces ', false, 'stdout'],
    [`${TIME} stdout P:more:tags x`, 'x', true, 'stdout'],
  ];
  for (const [text, message, partial, stream] of good) {
    it(JSON.stringify(text), () => {
      const entry = parseLogLine(Buffer.from(text));
      assert.deepEqual(
        {
          time: entry?.time,
          message: String(entry?.message),
          partial: entry?.partial,
          stream: entry?.stream,
        },
        { time: TIME, message, partial, stream },
      );
    });
  }

  for (const text of [
    '',
    ' ',
    'hello',
    `${TIME} stdin F x`,
    `${TIME} stdout X x`,
    ' stdout F x',
    `${TIME} stdout`,
  ]) {
    it(`${JSON.stringify(text)} is none`, () => assert.equal(parseLogLine(Buffer.from(text)), undefined));
  }

  it('keeps bytes that are no text', () => {
    const bytes = Buffer.from([0xff, 0x00, 0xfe]);
    const entry = parseLogLine(Buffer.concat([Buffer.from(`${TIME} stdout F `), bytes]));
    assert.deepEqual(entry?.message, bytes);
  });
});

describe('a log file', () => {
  let directory: string;
  let path: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'sk-log-'));
    path = join(directory, 'c.log');
  });
  afterEach(() => rm(directory, { recursive: true }));

  async function read(options: { tail?: number } = {}): Promise<string[]> {
    const found: string[] = [];
    for await (const entry of readLog({ path, ...options })) found.push(String(entry.message));
    return found;
  }

  it('that is not there is an error', async () => {
    await assert.rejects(read(), /read log .*c\.log: ENOENT/);
  });

  it('is read to its end; what is no log line or unfinished is left out', async () => {
    await writeFile(path, `${line('one')}nonsense\n${line('two')}${line('three').slice(0, -1)}`);
    assert.deepEqual(await read(), ['one', 'two']);
  });

  const tails: [count: number, lines: string[]][] = [
    [0, []],
    [1, ['e']],
    [2, ['c', 'd', 'e']],
    [3, ['b', 'c', 'd', 'e']],
    [9, ['a', 'b', 'c', 'd', 'e']],
  ];
  for (const [count, expected] of tails) {
    it(`the last ${count} lines, pieces of one line counted once`, async () => {
      await writeFile(path, line('a') + line('b') + line('c', 'P') + line('d') + line('e'));
      assert.deepEqual(await read({ tail: count }), expected);
    });
  }

  it('the tail of a large file', async () => {
    const lines = Array.from({ length: 20_000 }, (_, index) => line(`number ${index}`));
    await writeFile(path, lines.join(''));
    assert.deepEqual(await read({ tail: 2 }), ['number 19998', 'number 19999']);
    assert.equal((await read({ tail: 15_000 }))[0], 'number 5000');
  });

  it('the tail of one endless line', async () => {
    await writeFile(path, line('x'.repeat(1000), 'P').repeat(300));
    assert.equal((await read({ tail: 1 })).length, 300);
  });

  it('the tail of an empty file', async () => {
    await writeFile(path, '');
    assert.deepEqual(await read({ tail: 5 }), []);
  });

  describe('that is followed', () => {
    let found: string[];
    let end: AbortController;
    let reading: Promise<void>;

    function follow(tail?: number): void {
      found = [];
      end = new AbortController();
      reading = (async () => {
        for await (const entry of readLog({ path, tail, follow: end.signal }))
          found.push(String(entry.message));
      })();
    }

    async function until(count: number): Promise<void> {
      for (let tries = 0; found.length < count && tries < 300; tries++) await sleep(10);
      assert.equal(found.length, count, `read ${found.join(',')}`);
    }

    it('gives what is appended, also a line written in two pieces', async () => {
      await writeFile(path, line('one'));
      follow();
      await until(1);
      const two = line('two');
      await appendFile(path, two.slice(0, 40));
      await sleep(50);
      await appendFile(path, two.slice(40));
      await until(2);
      end.abort();
      await reading;
      assert.deepEqual(found, ['one', 'two']);
    });

    it('waits for a file that is made later', async () => {
      follow();
      await sleep(20);
      await writeFile(path, line('one'));
      await until(1);
      end.abort();
      await reading;
    });

    it('ends where the file never comes', async () => {
      follow();
      end.abort();
      await reading;
      assert.deepEqual(found, []);
    });

    it('goes on in the new file after a rotation, and loses no line of the old', async () => {
      await writeFile(path, line('one'));
      follow();
      await until(1);
      await rename(path, `${path}.1`);
      // The kubelet renames first; the writer goes on in the old file until it is told to reopen.
      await appendFile(`${path}.1`, line('two'));
      await until(2);
      await appendFile(`${path}.1`, line('three'));
      await writeFile(path, line('four'));
      await until(4);
      await appendFile(path, line('five'));
      await until(5);
      end.abort();
      await reading;
      assert.deepEqual(found, ['one', 'two', 'three', 'four', 'five']);
    });

    it('starts again where the file is cut to nothing', async () => {
      await writeFile(path, line('one') + line('two'));
      follow();
      await until(2);
      await truncate(path);
      await sleep(30);
      await appendFile(path, line('3'));
      await until(3);
      end.abort();
      await reading;
    });

    it('reads what was written before the end', async () => {
      await writeFile(path, line('one'));
      follow();
      await until(1);
      const many = Array.from({ length: 5000 }, (_, index) => line(`${index}`)).join('');
      await appendFile(path, many);
      end.abort();
      await reading;
      assert.equal(found.length, 5001);
    });

    it('loses nothing while lines keep coming and the file is rotated', async () => {
      await writeFile(path, '');
      follow();
      let number = 0;
      for (let rotation = 0; rotation < 5; rotation++) {
        for (let burst = 0; burst < 40; burst++) await appendFile(path, line(`${number++}`));
        await rename(path, `${path}.${rotation}`);
        await appendFile(`${path}.${rotation}`, line(`${number++}`));
        await writeFile(path, '');
        await until(number);
      }
      end.abort();
      await reading;
      assert.deepEqual(
        found,
        Array.from({ length: number }, (_, index) => `${index}`),
      );
    });
  });
});

describe('the output', () => {
  const entry = (text: string, partial: boolean, stream: 'stdout' | 'stderr' = 'stdout') => ({
    time: TIME,
    stream,
    partial,
    message: Buffer.from(text),
  });

  it('joins the pieces of a line', () => {
    const writer = new LogWriter({ timestamps: false });
    const text = [entry('a', true), entry('b', true), entry('c', false)].map((one) =>
      writer.render(one).toString(),
    );
    assert.equal(text.join(''), 'abc\n');
  });

  it('puts the time before whole lines only, by stream', () => {
    const writer = new LogWriter({ timestamps: true });
    const entries = [entry('a', true), entry('x', false, 'stderr'), entry('b', false), entry('c', false)];
    const text = entries.map((one) => writer.render(one).toString());
    assert.deepEqual(text, [`${TIME} a`, `${TIME} x\n`, 'b\n', `${TIME} c\n`]);
  });
});
