import type { Header } from 'tar-stream';
import { SkiffError } from '../../base/errors.ts';
import { baseOf, type LayerEntry, parentOf, showPath, type Timestamp } from '../../os/layer-entry.ts';

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

/**
 * What tar-stream hands over for the archives of others: any field may be
 * missing, and `type` is null for what it does not know.
 */
export type TarHeader = Partial<Omit<Header, 'type' | 'linkname' | 'pax'>> & {
  name: string;
  type?: Header['type'] | null;
  linkname?: string | null;
  pax?: Record<string, string> | null;
};

/** The header of an archive entry in the writer's terms. All strings are latin1, one character per byte. */
export function layerStep(header: TarHeader): LayerStep {
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

function entryOf(header: TarHeader, path: string): LayerEntry {
  const pax = header.pax ?? {};
  const type = typeOf(header, pax, path);
  const mtime = parsePaxTime(pax.mtime) ?? {
    sec: Math.floor((header.mtime?.getTime() ?? 0) / 1000) || 0,
    nsec: 0,
  };
  const target = header.linkname ?? '';
  return {
    type,
    path,
    target: type === 'link' ? cleanPath(target) : target,
    mode: header.mode ?? 0,
    uid: idOf(pax.uid, header.uid, path),
    gid: idOf(pax.gid, header.gid, path),
    size: type === 'file' ? (header.size ?? 0) : 0,
    atime: parsePaxTime(pax.atime) ?? mtime,
    mtime,
    xattrs: xattrsOf(pax),
    deviceMajor: header.devmajor ?? 0,
    deviceMinor: header.devminor ?? 0,
  };
}

function typeOf(header: TarHeader, pax: Record<string, string>, path: string): LayerEntry['type'] {
  if (Object.keys(pax).some((key) => key.startsWith('GNU.sparse.')))
    throw new SkiffError(
      'unimplemented',
      `read ${showPath(path)}: sparse files in a layer are not served yet; build the image without --sparse`,
    );
  switch (header.type) {
    case 'file':
    case 'contiguous-file':
      return 'file';
    case 'link':
    case 'symlink':
    case 'character-device':
    case 'block-device':
    case 'directory':
    case 'fifo':
      return header.type;
    default:
      throw new SkiffError(
        'unimplemented',
        `read ${showPath(path)}: an entry of this type (an old GNU sparse file, or one unknown) is not served yet`,
      );
  }
}

function idOf(pax: string | undefined, header: number | undefined, path: string): number {
  const id = pax !== undefined && /^\d+$/.test(pax) ? Number(pax) : (header ?? 0);
  if (Number.isInteger(id) && id >= 0 && id <= MAX_ID) return id;
  throw new SkiffError(
    'failed_precondition',
    `read ${showPath(path)}: owner ${id} is not a user or group id`,
  );
}

function xattrsOf(pax: Record<string, string>): LayerEntry['xattrs'] {
  return Object.keys(pax)
    .filter((key) => key.startsWith(XATTR))
    .map((key) => ({
      // The kernel takes names as bytes too; Node hands strings over as UTF-8.
      name: Buffer.from(key.slice(XATTR.length), 'latin1').toString('utf8'),
      value: Buffer.from(pax[key] ?? '', 'latin1'),
    }));
}
