import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { age, bytes, shortId, table } from '../../../src/cli/output.ts';
import { ProgressDisplay } from '../../../src/cli/pull-progress.ts';
import type { PullProgress } from '../../../src/image/types.ts';

describe('a table', () => {
  it('has columns as wide as their widest cell and no blanks at line ends', () => {
    const text = table(
      ['A', 'LONG'],
      [
        ['xxx', 'y'],
        ['z', ''],
      ],
    );
    assert.equal(text, 'A    LONG\nxxx  y\nz');
  });

  it('pads by the bare text of coloured cells', () => {
    const text = table(['A', 'B'], [[{ text: 'r', style: 'red' }, 'x']], (cell) => `<${cell.text}>`);
    assert.equal(text, '<A>  <B>\n<r>  <x>');
  });
});

it('bytes have a binary unit and three digits', () => {
  const cases: [number, string][] = [
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [1536, '1.5 KiB'],
    [150 * 1024 * 1024, '150 MiB'],
    [5 * 1024 ** 4, '5.0 TiB'],
    [9000 * 1024 ** 4, '9000 TiB'],
  ];
  for (const [count, text] of cases) assert.equal(bytes(count), text);
});

it('an age has one unit', () => {
  const now = Date.parse('2030-01-31T12:00:00Z');
  const cases: [seconds: number, text: string][] = [
    [-5, '0s'],
    [0, '0s'],
    [59, '59s'],
    [60, '1m'],
    [3599, '59m'],
    [7200, '2h'],
    [200_000, '2d'],
  ];
  for (const [seconds, text] of cases) {
    assert.equal(age(String(BigInt(now - seconds * 1000) * 1_000_000n), now), text, `${seconds}`);
  }
});

it('ids are shortened to twelve digits', () => {
  assert.equal(shortId(`sha256:${'ab'.repeat(32)}`), 'abababababab');
});

describe('the progress of a pull', () => {
  const event = (layer: string, phase: PullProgress['phase'], current = 0, total = 0): PullProgress => ({
    image: 'docker.io/library/a:1',
    layer: layer === '' ? '' : `sha256:${layer.repeat(64).slice(0, 64)}`,
    phase,
    current,
    total,
  });

  it('is one line per phase where there is no terminal', () => {
    let text = '';
    const display = new ProgressDisplay({ write: (part) => (text += part) });
    display.show(event('', 'resolving'));
    for (let current = 0; current < 50; current++) display.show(event('a', 'fetching', current, 2048));
    display.show(event('a', 'done', 2048, 2048));
    display.end();
    assert.equal(
      text,
      'docker.io/library/a:1: resolving\naaaaaaaaaaaa: fetching (2.0 KiB)\naaaaaaaaaaaa: done (2.0 KiB)\n',
    );
  });

  it('is redrawn in place on a terminal, no line wider than it', () => {
    let text = '';
    const display = new ProgressDisplay({
      isTTY: true,
      rows: 24,
      columns: 40,
      write: (part) => (text += part),
    });
    display.show(event('a', 'fetching', 512, 1024));
    display.show(event('b', 'waiting'));
    display.end();
    // ^[2K clears a line, ^[2A goes two up, ^[0J clears what is below.
    const frames = text.replaceAll('\x1b', '^').split('^[0J');
    assert.match(frames[0]!, /^\^\[2Kaaaaaaaaaaaa {2}fetching {2}\[=+/);
    assert.match(
      frames[1]!,
      /^\^\[2A\^\[2Kaaaaaaaaaaaa .*\n\^\[2Kbbbbbbbbbbbb {2}waiting\n\^\[2K512 B \/ 1\.0 KiB/,
    );
    for (const line of frames.join('').split('\n')) {
      assert.ok(line.replaceAll(/\^\[\d[AK]/g, '').length < 40, line);
    }
  });

  it('never draws more lines than the terminal has', () => {
    let text = '';
    const display = new ProgressDisplay({
      isTTY: true,
      rows: 6,
      columns: 80,
      write: (part) => (text += part),
    });
    for (const layer of 'abcdef0123456789') display.show(event(layer, 'fetching', 1, 2));
    display.end();
    const last = text.split('\x1b[0J').at(-2)!;
    assert.equal(last.split('\n').length - 1, 4);
  });
});
