import { SkiffError } from '../base/errors.ts';
import { readInRoot } from './rootfs-path.ts';
import type { ContainerSecurity, ContainerUser } from './types.ts';

/** runc takes ids as a signed 32-bit number, and so do both peers. */
const MAX_ID = 0x7fffffff;
/** Larger user files are no user files. */
const MAX_FILE_BYTES = 16 * 1024 * 1024;

type UserFields = Pick<
  ContainerSecurity,
  'runAsUser' | 'runAsGroup' | 'runAsUsername' | 'supplementalGroups' | 'supplementalGroupsPolicy'
>;

/** A line of passwd(5) or group(5). */
interface Passwd {
  name: string;
  uid: number;
  gid: number;
}
interface Group {
  name: string;
  gid: number;
  members: string[];
}

/** The texts of the image's user files; undefined where it has none. */
export interface UserFiles {
  passwd: string | undefined;
  group: string | undefined;
}

/**
 * Who a container's processes run as: `run_as_username` or `run_as_user` with
 * `run_as_group`, else the image's user, else root. Names and primary groups
 * are looked up in the image's own /etc/passwd and /etc/group, inside `rootfs`.
 */
export async function resolveUser(
  rootfs: string,
  imageUser: string,
  security: UserFields,
): Promise<ContainerUser> {
  const [passwd, group] = await Promise.all([
    readInRoot(rootfs, '/etc/passwd', MAX_FILE_BYTES),
    readInRoot(rootfs, '/etc/group', MAX_FILE_BYTES),
  ]);
  return userOf(imageUser, security, { passwd, group });
}

/** As `resolveUser`, from the texts of the user files. */
export function userOf(imageUser: string, security: UserFields, files: UserFiles): ContainerUser {
  const users = parsePasswd(files.passwd ?? '');
  const groups = parseGroup(files.group ?? '');
  const wanted = wantedUser(imageUser, security);
  const entry = findUser(wanted.user, users);
  const uid = entry?.uid ?? numericId(wanted.user, 'user');
  const gid = wanted.group === '' ? (entry?.gid ?? 0) : groupId(wanted.group, groups);
  const fromImage =
    security.supplementalGroupsPolicy === 'merge' && entry !== undefined
      ? groups.filter((group) => group.members.includes(entry.name)).map((group) => group.gid)
      : [];
  const listed = security.supplementalGroups.map((id) => numericId(String(id), 'supplemental group'));
  const all = new Set([gid, ...fromImage, ...listed]);
  return { uid, gid, supplementalGroups: [...all].toSorted((a, b) => a - b) };
}

/** User and group as text: a name, a number, '' = not given (a group only). */
function wantedUser(imageUser: string, security: UserFields): { user: string; group: string } {
  const user = security.runAsUsername || (security.runAsUser === null ? '' : String(security.runAsUser));
  if (user !== '') return { user, group: security.runAsGroup === null ? '' : String(security.runAsGroup) };
  if (security.runAsGroup !== null)
    throw new SkiffError(
      'invalid_argument',
      'security_context.run_as_group needs run_as_user or run_as_username',
    );
  const [name = '', group = '', ...rest] = imageUser.split(':');
  if (rest.length > 0)
    throw new SkiffError(
      'invalid_argument',
      `look up user: the image's USER "${imageUser}" is not "user:group"`,
    );
  return { user: name || '0', group };
}

/** A number need not be in the file; a name must. A name of digits alone is a number. */
function findUser(user: string, users: Passwd[]): Passwd | undefined {
  if (isNumber(user)) return users.find((entry) => entry.uid === numericId(user, 'user'));
  const entry = users.find((candidate) => candidate.name === user);
  if (entry === undefined)
    throw new SkiffError(
      'invalid_argument',
      `look up user: the image's /etc/passwd has no user "${user}"; name one that it has, or a number`,
    );
  return entry;
}

function groupId(group: string, groups: Group[]): number {
  if (isNumber(group)) return numericId(group, 'group');
  const entry = groups.find((candidate) => candidate.name === group);
  if (entry === undefined)
    throw new SkiffError(
      'invalid_argument',
      `look up group: the image's /etc/group has no group "${group}"; name one that it has, or a number`,
    );
  return entry.gid;
}

function isNumber(text: string): boolean {
  return /^-?\d+$/.test(text);
}

function numericId(text: string, what: string): number {
  const id = Number(text);
  if (id < 0 || id > MAX_ID)
    throw new SkiffError('invalid_argument', `look up ${what}: ${text} is not between 0 and ${MAX_ID}`);
  return id;
}

/** Lines that are none (comments, NIS entries, numbers missing) are skipped, as libc does. */
function parsePasswd(text: string): Passwd[] {
  return lines(text).flatMap(([name = '', , uid = '', gid = '']) =>
    isUnsigned(uid) && isUnsigned(gid) ? [{ name, uid: Number(uid), gid: Number(gid) }] : [],
  );
}

function parseGroup(text: string): Group[] {
  return lines(text).flatMap(([name = '', , gid = '', members = '']) =>
    isUnsigned(gid)
      ? [{ name, gid: Number(gid), members: members.split(',').map((member) => member.trim()) }]
      : [],
  );
}

function lines(text: string): string[][] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(':'));
}

function isUnsigned(text: string): boolean {
  return /^\d+$/.test(text);
}
