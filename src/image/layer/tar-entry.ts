import { SkiffError } from '../../base/errors.ts';
import { baseOf, type LayerEntry, parentOf, showPath, type Timestamp } from '../../os/layer-entry.ts';
import { NO_RECORDS, type PaxRecords } from './pax.ts';
import type { TarEntry } from './tar-reader.ts';

/** What one archive entry asks of the layer's writer. */
export type LayerStep =
  | { kind: 'entry'; entry: LayerEntry }
  | { kind: 'whiteout'; path: string }
  | { kind: 'opaque'; path: string }
  | { kind: 'skip' };

/** Names of layer.md, "Whiteouts"; further names with the double prefix are AUFS's own bookkeeping. */
const WHITEOUT = '.wh.';
const AUFS = '.wh..wh.';
const OPAQUE = '.wh..wh..opq';

const XATTR = 'SCHILY.xattr.';
const MAX_ID = 0xffff_fffe;

/** Type flags of tar headers (POSIX.1-2017, pax; '7' is a contiguous file, which no system has). */
const TYPES: Record<string, LayerEntry['type']> = {
  '0': 'file',
  '7': 'file',
  '1': 'link',
  '2': 'symlink',
  '3': 'character-device',
  '4': 'block-device',
  '5': 'directory',
  '6': 'fifo',
};

/** The header of an archive entry in the writer's terms. All strings are latin1, one character per byte. */
export function layerStep(header: TarEntry): LayerStep {
  if (header.name.includes('\0') || header.linkname.includes('\0'))
    throw new SkiffError('failed_precondition', `read ${showPath(header.name)}: a name holds a NUL`);
  const path = cleanPath(header.name);
  const base = baseOf(path);
  if (base === OPAQUE) return { kind: 'opaque', path: parentOf(path) };
  if (base.startsWith(AUFS)) return { kind: 'skip' };
  if (base.startsWith(WHITEOUT)) return whiteout(path, base);
  return { kind: 'entry', entry: entryOf(header, path) };
}

/** As Go's `path.Clean("/" + name)`: `..` at the root stays there, so no name leads out of the layer. */
export function cleanPath(name: string): string {
  const parts: string[] = [];
  for (const part of name.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts.join('/');
}

/** `1700000000.123456789`, also negative and without a fraction; undefined for anything else. */
export function parsePaxTime(text: string | undefined): Timestamp | undefined {
  const match = /^(-?)(\d+)(?:\.(\d*))?$/.exec(text ?? '');
  if (match === null) return undefined;
  const sec = Number(match[2]);
  const nsec = Number((match[3] ?? '').slice(0, 9).padEnd(9, '0'));
  if (match[1] === '') return { sec, nsec };
  // 1.25 s before the epoch is second -2 and three quarters.
  return nsec === 0 ? { sec: -sec, nsec: 0 } : { sec: -sec - 1, nsec: 1_000_000_000 - nsec };
}

function whiteout(path: string, base: string): LayerStep {
  const name = base.slice(WHITEOUT.length);
  if (name === '' || name === '.' || name === '..')
    throw new SkiffError('failed_precondition', `read ${showPath(path)}: this whiteout names no file`);
  const parent = parentOf(path);
  return { kind: 'whiteout', path: parent === '' ? name : `${parent}/${name}` };
}

function entryOf(header: TarEntry, path: string): LayerEntry {
  const { pax } = header;
  const type = typeOf(header, path);
  const mtime = parsePaxTime(pax.mtime) ?? { sec: header.mtime, nsec: 0 };
  return {
    type,
    path,
    target: type === 'link' ? cleanPath(header.linkname) : header.linkname,
    mode: header.mode,
    uid: idOf(pax.uid, header.uid, path),
    gid: idOf(pax.gid, header.gid, path),
    size: type === 'file' ? header.size : 0,
    sparse: header.sparse,
    atime: parsePaxTime(pax.atime) ?? mtime,
    mtime,
    xattrs: xattrsOf(pax),
    deviceMajor: header.deviceMajor,
    deviceMinor: header.deviceMinor,
  };
}

function typeOf(header: TarEntry, path: string): LayerEntry['type'] {
  const type = TYPES[header.type];
  if (type !== undefined) return type;
  throw new SkiffError(
    'failed_precondition',
    `read ${showPath(path)}: an entry of type ${JSON.stringify(header.type)} is none that a layer may hold`,
  );
}

function idOf(pax: string | undefined, header: number, path: string): number {
  const id = pax !== undefined && /^\d+$/.test(pax) ? Number(pax) : header;
  if (Number.isInteger(id) && id >= 0 && id <= MAX_ID) return id;
  throw new SkiffError(
    'failed_precondition',
    `read ${showPath(path)}: owner ${id} is not a user or group id`,
  );
}

function xattrsOf(pax: PaxRecords): LayerEntry['xattrs'] {
  if (pax === NO_RECORDS) return [];
  return Object.keys(pax)
    .filter((key) => key.startsWith(XATTR))
    .map((key) => ({
      // The kernel takes names as bytes too; Node hands strings over as UTF-8.
      name: Buffer.from(key.slice(XATTR.length), 'latin1').toString('utf8'),
      value: Buffer.from(pax[key] ?? '', 'latin1'),
    }));
}
