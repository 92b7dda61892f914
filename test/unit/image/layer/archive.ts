/** Tar archives made byte by byte, so that tests can hold what no archiver writes. */

export interface TarEntry {
  /** Latin1: one character per byte. */
  name: string;
  /** The type flag, '0' = regular file. */
  type?: string;
  linkname?: string;
  mode?: number;
  uid?: number;
  gid?: number;
  mtime?: number;
  data?: Buffer;
  /** Where it is to differ from the data's. */
  size?: number;
  major?: number;
  minor?: number;
}

/** Two empty blocks. */
export const END = Buffer.alloc(1024);

/** Header and padded data of one entry in ustar form. */
export function tarEntry(entry: TarEntry): Buffer {
  const data = entry.data ?? Buffer.alloc(0);
  const header = Buffer.alloc(512);
  header.write(entry.name, 0, 100, 'latin1');
  octal(header, 100, 8, entry.mode ?? 0o644);
  octal(header, 108, 8, entry.uid ?? 0);
  octal(header, 116, 8, entry.gid ?? 0);
  octal(header, 124, 12, entry.size ?? data.length);
  octal(header, 136, 12, entry.mtime ?? 1_000_000_000);
  header.write(entry.type ?? '0', 156, 1, 'latin1');
  header.write(entry.linkname ?? '', 157, 100, 'latin1');
  header.write('ustar\x0000', 257, 8, 'latin1');
  octal(header, 329, 8, entry.major ?? 0);
  octal(header, 337, 8, entry.minor ?? 0);
  header.fill(' ', 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 8, 'latin1');
  return Buffer.concat([header, data, Buffer.alloc(-data.length & 511)]);
}

/** One pax record. */
export function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from('\n')]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

/** An entry preceded by the pax header that says more of it. */
export function paxEntry(records: Record<string, Buffer | string>, entry: TarEntry): Buffer {
  const data = Buffer.concat(
    Object.entries(records).map(([key, value]) => paxRecord(key, Buffer.from(value as string, 'latin1'))),
  );
  return Buffer.concat([tarEntry({ name: 'pax', type: 'x', data }), tarEntry(entry)]);
}

export function archive(...entries: Buffer[]): Buffer {
  return Buffer.concat([...entries, END]);
}

function octal(header: Buffer, at: number, length: number, value: number): void {
  header.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, length, 'latin1');
}
