import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ContainerSecurity } from '../../../src/container/types.ts';
import { userOf } from '../../../src/container/user.ts';
import { security } from './builders.ts';

const FILES = {
  passwd: `root:x:0:0:root:/root:/bin/sh
# a comment
+nis::::
broken:x:
www-data:x:33:33::/var/www:
default-user:x:1000:1000::/home:/bin/sh
second:x:1000:2000::/:
123:x:456:457::/:
`,
  group: `root:x:0:
www-data:x:33:www-data
staff:x:50:default-user, www-data
defined-in-image:x:50000:default-user
nogid:x::default-user
`,
};

type Result = { uid: number; gid: number; groups: number[] };

describe('userOf', () => {
  const cases: [name: string, image: string, change: Partial<ContainerSecurity>, result: Result][] = [
    ['nothing said: root', '', {}, { uid: 0, gid: 0, groups: [0] }],
    ['image uid in passwd', '1000', {}, { uid: 1000, gid: 1000, groups: [50, 1000, 50000] }],
    ['image uid not in passwd', '1002', {}, { uid: 1002, gid: 0, groups: [0] }],
    ['image name', 'www-data', {}, { uid: 33, gid: 33, groups: [33, 50] }],
    ['image uid:gid', '1003:1004', {}, { uid: 1003, gid: 1004, groups: [1004] }],
    ['image name:gid', 'www-data:1004', {}, { uid: 33, gid: 1004, groups: [33, 50, 1004] }],
    ['image name:group name', 'www-data:staff', {}, { uid: 33, gid: 50, groups: [33, 50] }],
    ['image group alone', ':33', {}, { uid: 0, gid: 33, groups: [33] }],
    ['a name of digits is a number', '123', {}, { uid: 123, gid: 0, groups: [0] }],
    [
      'run_as_user over the image',
      'www-data',
      { runAsUser: 1000 },
      { uid: 1000, gid: 1000, groups: [50, 1000, 50000] },
    ],
    ['run_as_user zero over the image', 'www-data', { runAsUser: 0 }, { uid: 0, gid: 0, groups: [0] }],
    ['run_as_group', '', { runAsUser: 5, runAsGroup: 7 }, { uid: 5, gid: 7, groups: [7] }],
    ['run_as_username', '', { runAsUsername: 'www-data' }, { uid: 33, gid: 33, groups: [33, 50] }],
    [
      'merged groups',
      '',
      { runAsUser: 1000, supplementalGroups: [1234, 50] },
      { uid: 1000, gid: 1000, groups: [50, 1000, 1234, 50000] },
    ],
    [
      'strict groups',
      '',
      { runAsUser: 1000, supplementalGroups: [1234], supplementalGroupsPolicy: 'strict' },
      { uid: 1000, gid: 1000, groups: [1000, 1234] },
    ],
  ];
  for (const [name, image, change, { uid, gid, groups }] of cases)
    it(name, () => {
      assert.deepEqual(userOf(image, security(change), FILES), { uid, gid, supplementalGroups: groups });
    });

  it('needs no user files for numbers', () => {
    const none = { passwd: undefined, group: undefined };
    assert.deepEqual(userOf('7:8', security(), none), { uid: 7, gid: 8, supplementalGroups: [8] });
    assert.throws(() => userOf('www-data', security(), none), /no user "www-data"/);
  });

  const refused: [name: string, image: string, change: Partial<ContainerSecurity>, message: RegExp][] = [
    ['a group without a user', 'www-data', { runAsGroup: 5 }, /run_as_group needs run_as_user/],
    ['an unknown name', 'nobody', {}, /no user "nobody"/],
    ['an unknown username', '', { runAsUsername: 'nobody' }, /no user "nobody"/],
    ['an unknown group', '0:nogroup', {}, /no group "nogroup"/],
    ['a user that passwd has only half', 'broken', {}, /no user "broken"/],
    ['a uid beyond 31 bits', '2147483648', {}, /2147483648 is not between/],
    ['a negative uid', '', { runAsUser: -1 }, /-1 is not between/],
    ['a group id beyond 31 bits', '', { supplementalGroups: [4294967296] }, /supplemental group/],
    ['three parts', 'a:b:c', {}, /is not "user:group"/],
  ];
  for (const [name, image, change, message] of refused)
    it(`refuses ${name}`, () => {
      assert.throws(() => userOf(image, security(change), FILES), { code: 'invalid_argument', message });
    });
});
