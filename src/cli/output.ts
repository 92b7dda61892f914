import { styleText } from 'node:util';

/** A cell that is padded by its bare text and printed in a colour where the stream is a terminal. */
export interface Cell {
  text: string;
  style?: Parameters<typeof styleText>[0];
}

type Row = (string | Cell)[];

/** Prints one line on stdout. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Prints one line on stderr: progress and warnings, which are not the command's result. */
export function note(line: string): void {
  process.stderr.write(`${line}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}

/** One id per line, for other programs. */
export function printIds(things: { id: string }[]): void {
  for (const { id } of things) print(id);
}

/** `text` in `style` where `stream` is a terminal and NO_COLOR is not set. */
export function colour(
  style: Parameters<typeof styleText>[0],
  text: string,
  stream: NodeJS.WriteStream = process.stdout,
): string {
  return styleText(style, text, { stream });
}

/** Left-aligned columns, two spaces apart, as wide as their widest cell. */
export function table(header: string[], rows: Row[], paint = paintStdout): string {
  const cells = [header, ...rows].map((row) =>
    row.map((cell) => (typeof cell === 'string' ? { text: cell } : cell)),
  );
  const widths = header.map((_, column) => Math.max(...cells.map((row) => row[column]?.text.length ?? 0)));
  return cells
    .map((row) =>
      row
        .map((cell, column) => {
          const padding = ' '.repeat(column === row.length - 1 ? 0 : widths[column]! - cell.text.length);
          return paint(cell) + padding;
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** The first 12 digits of an id, without the algorithm of a digest. */
export function shortId(id: string): string {
  return id.replace(/^sha256:/, '').slice(0, 12);
}

const BINARY = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** `0 B`, `1.5 KiB`, `12 MiB`: three digits are enough to compare. */
export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < BINARY.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${BINARY[unit]}`;
}

const SPANS = [
  ['d', 86_400],
  ['h', 3600],
  ['m', 60],
  ['s', 1],
] as const;

/** How long ago `ns` (nanoseconds since the epoch, decimal) was: `5s`, `3m`, `2h`, `4d`. */
export function age(ns: string, now = Date.now()): string {
  const seconds = Math.max(0, Math.floor(now / 1000 - Number(BigInt(ns) / 1_000_000_000n)));
  const [unit, length] = SPANS.find(([, span]) => seconds >= span) ?? ['s', 1];
  return `${Math.floor(seconds / length)}${unit}`;
}

function paintStdout(cell: Cell): string {
  return cell.style === undefined ? cell.text : colour(cell.style, cell.text);
}
