import { UmiakError } from '#base/errors.ts';

export interface UserRequest {
  /** `uid`, `name`, `uid:gid`, `name:group`; empty means root. */
  user: string;
  runAsGroup?: number | undefined;
  supplementalGroups?: readonly number[] | undefined;
  /** More groups, by name or number. */
  addedGroups?: readonly string[] | undefined;
  /** `Strict`: no groups but those named; `Merge`, the default: those that the image's files have the user in, too. */
  supplementalGroupsPolicy?: 'Merge' | 'Strict' | undefined;
  runAsNonRoot?: boolean | undefined;
  /** The image's `/etc/passwd` and `/etc/group`. */
  passwd: string;
  group: string;
}

export interface ResolvedUser {
  uid: number;
  gid: number;
  additionalGids: number[];
  home: string;
}

/** Ids are 32 bits; the last one means "unchanged" to the kernel. */
const MAX_ID = 2 ** 32 - 2;

/**
 * Who a container runs as, by the rules of Docker and the OCI image spec: names need an entry in the image's files, numbers don't;
 * without a group the user's own is taken, and the groups that name the user as a member are added.
 * @throws Invalid
 */
export function planUser({
  user,
  runAsGroup,
  supplementalGroups = [],
  addedGroups = [],
  supplementalGroupsPolicy = 'Merge',
  runAsNonRoot = false,
  passwd,
  group,
}: UserRequest): ResolvedUser {
  const [name = '', groupName, ...more] = user.split(':');
  if (more.length > 0) throw invalid(`user ${JSON.stringify(user)} must have the form user[:group]`);
  const entry = parsePasswd(passwd).find(candidate => (isId(name) ? candidate.uid === Number(name) : candidate.name === (name || 'root')));
  const uid = isId(name) ? toId(name, 'user') : (entry?.uid ?? (name === '' || name === 'root' ? 0 : undefined));
  if (uid === undefined)
    throw invalid(`the image has no user ${JSON.stringify(name)} in /etc/passwd`, 'Use a number, or add the user to the image.');
  if (runAsNonRoot && uid === 0)
    throw invalid('the container must not run as root (runAsNonRoot), but its user is 0', 'Set runAsUser, or a USER in the image.');
  const groups = parseGroup(group);
  const gid = runAsGroup ?? resolveGroup(groupName, groups) ?? entry?.gid ?? 0;
  const memberships = entry ? groups.filter(candidate => candidate.members.includes(entry.name)).map(candidate => candidate.gid) : [];
  const isMerged = supplementalGroupsPolicy === 'Merge' && groupName === undefined;
  const added = addedGroups.flatMap(name => resolveGroup(name, groups) ?? []);
  const additional = new Set([gid, ...(isMerged ? memberships : []), ...supplementalGroups, ...added]);
  return { uid, gid, additionalGids: [...additional].sort((a, b) => a - b), home: entry?.home || '/' };
}

function resolveGroup(name: string | undefined, groups: readonly { name: string; gid: number }[]): number | undefined {
  if (name === undefined || name === '') return undefined;
  if (isId(name)) return toId(name, 'group');
  const found = groups.find(candidate => candidate.name === name);
  if (!found) throw invalid(`the image has no group ${JSON.stringify(name)} in /etc/group`, 'Use a number, or add the group to the image.');
  return found.gid;
}

function parsePasswd(text: string): { name: string; uid: number; gid: number; home: string }[] {
  return text.split('\n').flatMap(line => {
    const [name, , uid = '', gid = '', , home = ''] = line.split(':');
    return name && isId(uid) && isId(gid) ? [{ name, uid: Number(uid), gid: Number(gid), home }] : [];
  });
}

function parseGroup(text: string): { name: string; gid: number; members: string[] }[] {
  return text.split('\n').flatMap(line => {
    const [name, , gid = '', members = ''] = line.split(':');
    return name && isId(gid) ? [{ name, gid: Number(gid), members: members.split(',').filter(Boolean) }] : [];
  });
}

function isId(text: string): boolean {
  return /^\d+$/.test(text);
}

function toId(text: string, kind: string): number {
  const id = Number(text);
  if (id > MAX_ID) throw invalid(`${kind} id ${text} is too large`);
  return id;
}

function invalid(message: string, hint?: string): UmiakError {
  return new UmiakError('Invalid', message, hint ? { hint } : {});
}
