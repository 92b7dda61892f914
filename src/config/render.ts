import { stringify } from 'smol-toml';
import { defaultTable, dotted, isTable, type Key, ROOT, type Shape, type Table } from './shape.ts';

const WIDTH = 100;

/** `table` as a configuration file in which every key is explained. */
export function tomlText(table: Table = defaultTable()): string {
  const head = [
    '# Configuration of skiff. Every key may be left out; files in config.d/*.toml beside this one',
    '# are read after it in name order. "live" marks what a running daemon takes over from a changed file.',
  ];
  return `${[...head, ...sectionLines(ROOT, table, [])].join('\n')}\n`;
}

/** A markdown table of all keys. */
export function referenceTable(): string {
  const rows = keyRows(ROOT, []).map(
    ({ path, key }) =>
      `| \`${path}\` | ${expectedCell(key.shape)} | ${defaultCell(key.byDefault)} | ${key.reloadable ? 'yes' : 'no'} | ${key.description.replaceAll('|', '\\|')} |`,
  );
  return ['| key | value | default | live reload | meaning |', '|---|---|---|---|---|', ...rows].join('\n');
}

function sectionLines(section: Shape, table: Table, path: string[]): string[] {
  if (section.kind !== 'section') return [];
  const plain = section.keys.filter((key) => key.shape.kind === 'leaf');
  const tables = section.keys.filter((key) => key.shape.kind !== 'leaf');
  return [
    ...plain.flatMap((key) => ['', ...comment(key), stringify({ [key.name]: table[key.name] }).trimEnd()]),
    ...tables.flatMap((key) => tableLines(key, (table[key.name] ?? {}) as Table, [...path, key.name])),
  ];
}

function tableLines(key: Key, table: Table, path: string[]): string[] {
  if (key.shape.kind === 'section') {
    return ['', ...comment(key), `[${dotted(path)}]`, ...sectionLines(key.shape, table, path)];
  }
  const empty = Object.keys(table).length === 0;
  return [
    '',
    ...comment(key),
    ...(empty ? [...key.example.split('\n').map((line) => `# ${line}`), `[${dotted(path)}]`] : []),
    ...Object.entries(table).flatMap(([name, value]) => namedLines(value, [...path, name])),
  ];
}

function namedLines(value: unknown, path: string[]): string[] {
  const body = isTable(value) ? stringify(value).trimEnd().split('\n') : [];
  return [`[${dotted(path)}]`, ...body];
}

function comment(key: Key): string[] {
  const expected = key.shape.kind === 'leaf' ? key.shape.expected : '';
  const facts = [key.reloadable ? 'live' : '', /^(one of|a whole|a time)/.test(expected) ? expected : ''];
  const shown = facts.filter((fact) => fact !== '').join('; ');
  const words = `${key.description}${shown === '' ? '' : ` (${shown})`}`.split(' ');
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < WIDTH) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(`# ${word}`);
  }
  return lines;
}

function keyRows(shape: Shape, path: string[]): { path: string; key: Key }[] {
  if (shape.kind !== 'section') return [];
  return shape.keys.flatMap((key) => {
    const here = [...path, key.name];
    if (key.shape.kind === 'section') return keyRows(key.shape, here);
    if (key.shape.kind === 'leaf') return [{ path: here.join('.'), key }];
    return [
      { path: `${here.join('.')}.NAME`, key },
      ...keyRows(key.shape.value, [...here, 'NAME']).map((row) => ({
        ...row,
        key: { ...row.key, reloadable: key.reloadable },
      })),
    ];
  });
}

function expectedCell(shape: Shape): string {
  return shape.kind === 'leaf' ? shape.expected : 'tables';
}

function defaultCell(value: unknown): string {
  if (isTable(value)) return Object.keys(value).join(', ') || 'none';
  return `\`${stringify({ x: value }).trim().slice('x = '.length)}\``;
}
