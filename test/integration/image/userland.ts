import { execFileSync } from 'node:child_process';
import { chownSync, cpSync, linkSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { archive, paxEntry, tarEntry } from '../../unit/image/layer/archive.ts';

/**
 * An OCI layout `<directory>/userland:latest` made with umoci, of nine layers that
 * hold what layers can hold. Answers `<layout>:latest`.
 */
export function userlandImage(directory: string): string {
  const layout = join(directory, 'userland');
  const run = (file: string, ...args: string[]) =>
    execFileSync(file, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  run('umoci', 'init', '--layout', layout);
  run('umoci', 'new', '--image', `${layout}:latest`);
  const add = (name: string, bytes: Buffer | null) => {
    const file = join(directory, `${name}.tar`);
    if (bytes !== null) writeFileSync(file, bytes);
    run('umoci', 'raw', 'add-layer', '--image', `${layout}:latest`, file);
  };
  makeBase(directory, run);
  add('base', null);
  for (const [name, bytes] of Object.entries(upperLayers())) add(name, bytes);
  return `${layout}:latest`;
}

/** A tree of real programs and of every kind of file, packed by GNU tar with xattrs. */
function makeBase(directory: string, run: (file: string, ...args: string[]) => void): void {
  const root = join(directory, 'base');
  for (const path of [
    'bin',
    'etc',
    'usr/share',
    'usr/lib',
    'var/cache/old',
    'tmp',
    'run',
    'data/one',
    'data/two',
    'home',
  ])
    mkdirSync(join(root, path), { recursive: true });
  run('cp', '/bin/busybox', join(root, 'bin/busybox'));
  for (const applet of ['sh', 'ls', 'cat', 'mount'])
    linkSync(join(root, 'bin/busybox'), join(root, 'bin', applet));
  run('cp', '/bin/busybox', join(root, 'bin/ping'));
  run('setcap', 'cap_net_raw,cap_setuid+ep', join(root, 'bin/ping'));
  run('cp', '/bin/busybox', join(root, 'bin/su'));
  run('chmod', '6755', join(root, 'bin/su'));
  run('chmod', '1777', join(root, 'tmp'));
  cpSync('/usr/share/doc/bash', join(root, 'usr/share/doc'), { recursive: true });
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0::/:/bin/sh\n');
  writeFileSync(join(root, 'etc/empty'), '');
  writeFileSync(join(root, 'data/one/file'), 'one file, two directories\n');
  linkSync(join(root, 'data/one/file'), join(root, 'data/two/link'));
  symlinkSync('../etc/passwd', join(root, 'data/relative'));
  symlinkSync('/does/not/exist', join(root, 'data/dangling'));
  linkSync(join(root, 'data/dangling'), join(root, 'data/dangling-too'));
  const long = join(root, 'data', 'n'.repeat(200), 'm'.repeat(200));
  mkdirSync(long, { recursive: true });
  writeFileSync(join(long, 'l'.repeat(255)), 'long\n');
  writeFileSync(
    Buffer.concat([Buffer.from(join(root, 'data/')), Buffer.from([0xe9, 0xff, 0x20, 0x0a])]),
    'no UTF-8\n',
  );
  writeFileSync(join(root, 'data/ünïcode ☃'), 'UTF-8\n');
  run('mknod', join(root, 'data/null'), 'c', '1', '3');
  run('mknod', join(root, 'data/loop'), 'b', '7', '0');
  run('mknod', join(root, 'data/fifo'), 'p');
  writeFileSync(join(root, 'home/far'), 'far owner\n');
  chownSync(join(root, 'home/far'), 3_000_000_000, 2_200_000);
  run('touch', '-d', '1965-03-04 05:06:07.000000089 UTC', join(root, 'home/far'));
  for (const path of [
    'var/cache/old/a',
    'var/cache/old/b',
    'var/cache/kept',
    'etc/gone',
    'etc/swap',
    'run/pid',
  ])
    writeFileSync(join(root, path), `${path}\n`);
  mkdirSync(join(root, 'etc/swapdir'));
  writeFileSync(join(root, 'etc/swapdir/inside'), 'inside\n');
  run(
    'tar',
    '--format=pax',
    '--xattrs',
    '--xattrs-include=*',
    '-cf',
    join(directory, 'base.tar'),
    '-C',
    root,
    '.',
  );
  rmSync(root, { recursive: true });
}

function upperLayers(): Record<string, Buffer> {
  const dir = (name: string, over = {}) => tarEntry({ name, type: '5', mode: 0o755, ...over });
  const file = (name: string, text = `${name}\n`, over = {}) =>
    tarEntry({ name, data: Buffer.from(text), ...over });
  return {
    whiteouts: archive(
      dir('etc/', { mtime: 1_100_000_000 }),
      file('etc/.wh.gone', ''),
      dir('var/'),
      dir('var/cache/'),
      file('var/cache/.wh.old', ''),
      dir('run/'),
      file('run/.wh.never-there', ''),
    ),
    opaque: archive(
      dir('usr/', { mode: 0o711 }),
      dir('usr/share/', { mode: 0o750, gid: 7 }),
      dir('usr/share/doc/'),
      file('usr/share/doc/.wh..wh..opq', ''),
      file('usr/share/doc/only', 'the only one left\n'),
    ),
    // No entry for tmp, data, data/one, or the root: they keep what lower layers say of them.
    implicit: archive(
      file('tmp/x', 'x\n', { mode: 0o600, uid: 5 }),
      file('data/one/y'),
      file('fresh/deep/z'),
    ),
    replaced: archive(
      dir('etc/'),
      dir('etc/swap/', { mode: 0o700 }),
      file('etc/swap/now', 'a directory now\n'),
      file('etc/.wh.swapdir', ''),
      file('etc/swapdir', 'a file now\n'),
      // The later of two entries wins.
      file('etc/twice', 'first\n'),
      file('etc/twice', 'second\n', { mode: 0o640 }),
    ),
    links: archive(
      dir('links/'),
      file('links/target', 'linked\n', { uid: 33, gid: 33 }),
      dir('links/sub/'),
      tarEntry({ name: 'links/sub/hard', type: '1', linkname: 'links/target' }),
      tarEntry({ name: 'links/sub/hard-abs', type: '1', linkname: '/links/target' }),
      tarEntry({ name: 'links/dir', type: '2', linkname: 'sub', mode: 0o777 }),
      tarEntry({ name: 'links/hard-to-link', type: '1', linkname: 'links/dir' }),
    ),
    pax: archive(
      paxEntry(
        { mtime: '1234567890.987654321', 'SCHILY.xattr.user.note': '\x00\x80\xffbytes' },
        {
          name: 'pax-file',
          data: Buffer.from('pax\n'),
        },
      ),
      paxEntry({ path: `long/${'p'.repeat(150)}/${'q'.repeat(150)}` }, { name: 'short' }),
      paxEntry({ 'SCHILY.xattr.trusted.note': 'kept' }, { name: 'marked/', type: '5', mode: 0o711 }),
    ),
    again: archive(
      // What was removed below comes back, as new.
      dir('var/'),
      dir('var/cache/'),
      dir('var/cache/old/', { mode: 0o770 }),
      file('var/cache/old/new'),
      file('etc/gone', 'back\n'),
    ),
    empty: archive(),
  };
}
