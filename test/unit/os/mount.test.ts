import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseMounts } from '../../../src/os/mount.ts';

/** Lines of the example in proc_pid_mountinfo(5), and one with all kinds of tags. */
const TEXT = [
  '36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue',
  '37 35 0:21 / /with\\040space\\134x rw shared:2 master:1 - tmpfs tmpfs rw',
  '38 35 0:22 / /plain rw - proc proc rw',
  '',
].join('\n');

describe('parseMounts', () => {
  it('reads target, propagation and type', () => {
    assert.deepEqual(parseMounts(TEXT), [
      { target: '/mnt2', propagation: 'slave', fstype: 'ext3' },
      { target: '/with space\\x', propagation: 'shared', fstype: 'tmpfs' },
      { target: '/plain', propagation: 'private', fstype: 'proc' },
    ]);
  });
});
