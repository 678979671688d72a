import { readFileSync } from 'node:fs';
import { UmiakError } from '#base/errors.ts';
import type { IdMapping, SandboxConfig, UserNamespaceMappings } from './engine.ts';
import type { ResolvedUser } from './user.ts';

/** As many ids as the kubelet gives a pod. */
export const IDS_PER_SANDBOX = 65_536;
/** The highest id means "unchanged" to the kernel; blocks above two milliards confuse programs that take ids as signed. */
const MOST_IDS = 2 ** 31;
/** The user whose range the kubelet takes, too. */
const RANGE_OWNER = 'kubelet';
/** user_namespaces(7) */
const MOST_RANGES = 340;

export interface IdRange {
  start: number;
  length: number;
}

/** What of the machine's ids sandboxes may have, and what others have of them. */
export interface IdPool {
  range: IdRange;
  taken: readonly IdRange[];
}

/**
 * The sandbox as it is recorded: one that wants users of its own gets ids that no other has. Its record is all that remembers them, so
 * they are free again with it, and only then. Pure but for reading who else has ids.
 * @throws Invalid for namespaces that a user namespace can't be with, and for mappings that are none
 */
export function planSandboxUsers(config: SandboxConfig, others: () => readonly SandboxConfig[], readPool = readIdPool): SandboxConfig {
  if (!config.ownUsers && !config.userNamespace) return config;
  for (const kind of ['network', 'pid', 'ipc'] as const)
    if (config[kind] === 'host')
      throw new UmiakError('Invalid', `userNamespace: a sandbox with the machine's ${kind} namespace can't have users of its own`, {
        hint: `Give it a ${kind} namespace of its own, or the machine's users.`,
      });
  if (config.userNamespace) {
    checkMappings(config.userNamespace);
    return config;
  }
  const used = others().flatMap(({ userNamespace }) => [...(userNamespace?.uids ?? []), ...(userNamespace?.gids ?? [])]);
  const { range, taken } = readPool();
  const hostId = planBlock(range, [...taken, ...used.map(({ hostId: start, length }) => ({ start, length }))]);
  const mapping: IdMapping[] = [{ containerId: 0, hostId, length: IDS_PER_SANDBOX }];
  return { ...config, userNamespace: { uids: mapping, gids: mapping } };
}

/** The first whole block of the range that touches nothing taken. Pure. @throws ServiceUnavailable when there is none */
export function planBlock({ start, length }: IdRange, taken: readonly IdRange[]): number {
  const ordered = [...taken].sort((a, b) => a.start - b.start);
  let block = Math.ceil(start / IDS_PER_SANDBOX) * IDS_PER_SANDBOX;
  for (const other of ordered)
    if (other.start < block + IDS_PER_SANDBOX && other.start + other.length > block)
      block = Math.ceil((other.start + other.length) / IDS_PER_SANDBOX) * IDS_PER_SANDBOX;
  if (block + IDS_PER_SANDBOX <= start + length) return block;
  throw new UmiakError('ServiceUnavailable', `no ids are left for another user namespace: ${length} from ${start} are in use`, {
    hint: `Delete pods with hostUsers: false, or give the user ${RANGE_OWNER} a larger range in /etc/subuid and /etc/subgid.`,
  });
}

/** The range of the user `kubelet` in `/etc/subuid`, or all ids but the machine's own and those that the file gives to others. Pure. */
export function planIdPool(subuid: string, subgid: string): IdPool {
  const [uids, gids] = [parseSubordinate(subuid), parseSubordinate(subgid)];
  const own = uids.find(({ name }) => name === RANGE_OWNER);
  if (own && gids.some(({ name, start, length }) => name === RANGE_OWNER && start === own.start && length === own.length)) {
    const start = Math.max(own.start, IDS_PER_SANDBOX);
    return { range: { start, length: Math.max(0, own.start + own.length - start) }, taken: [] };
  }
  return { range: { start: IDS_PER_SANDBOX, length: MOST_IDS - IDS_PER_SANDBOX }, taken: [...uids, ...gids] };
}

/** Who root of these users is on the machine. */
export function rootOf(mappings: UserNamespaceMappings | undefined): { uid: number; gid: number } {
  return { uid: hostIdOf(mappings?.uids, 0) ?? 0, gid: hostIdOf(mappings?.gids, 0) ?? 0 };
}

/** What an id is on the machine; undefined where it is not mapped. Without mappings it is itself. Pure. */
export function hostIdOf(mappings: readonly IdMapping[] | undefined, id: number): number | undefined {
  if (!mappings) return id;
  const found = mappings.find(({ containerId, length }) => id >= containerId && id < containerId + length);
  return found && found.hostId + id - found.containerId;
}

/** @throws Invalid for ids that a process inside can't have */
export function checkMapped(
  { uid, gid, additionalGids }: Pick<ResolvedUser, 'uid' | 'gid' | 'additionalGids'>,
  users: UserNamespaceMappings,
): void {
  const check = (what: string, id: number, mappings: readonly IdMapping[]) => {
    if (hostIdOf(mappings, id) === undefined) throw invalid(`${what} ${id} has no place in the sandbox's user namespace`);
  };
  check('user', uid, users.uids);
  for (const id of [gid, ...additionalGids]) check('group', id, users.gids);
}

/** @throws Invalid */
function checkMappings({ uids, gids }: UserNamespaceMappings): void {
  for (const [name, mappings] of Object.entries({ uids, gids })) {
    if (mappings.length === 0) throw invalid(`userNamespace.${name} maps no ids`);
    for (const { containerId, hostId, length } of mappings)
      if (![containerId, hostId, length].every(Number.isSafeInteger) || containerId < 0 || hostId < 0 || length < 1)
        throw invalid(`userNamespace.${name}: ${containerId} ${hostId} ${length} is no range of ids`);
    if (mappings.length > MOST_RANGES)
      throw invalid(`userNamespace.${name}: ${mappings.length} ranges are more than the kernel's ${MOST_RANGES}`);
    for (const start of ['containerId', 'hostId'] as const) {
      const ordered = [...mappings].sort((a, b) => a[start] - b[start]);
      const clash = ordered.find((range, index) => index > 0 && range[start] < ordered[index - 1]![start] + ordered[index - 1]!.length);
      if (clash) throw invalid(`userNamespace.${name}: ranges overlap at ${start} ${clash[start]}`);
    }
    if (hostIdOf(mappings, 0) === undefined) throw invalid(`userNamespace.${name} must map id 0, which the runtime is inside`);
  }
}

function parseSubordinate(text: string): (IdRange & { name: string })[] {
  return text.split('\n').flatMap(line => {
    const [, name = '', start, length] = /^([^:#]+):(\d+):(\d+)$/.exec(line.trim()) ?? [];
    return name ? [{ name, start: Number(start), length: Number(length) }] : [];
  });
}

function readIdPool(): IdPool {
  const read = (file: string) => {
    try {
      return readFileSync(file, 'utf8');
    } catch {
      return '';
    }
  };
  return planIdPool(read('/etc/subuid'), read('/etc/subgid'));
}

function invalid(message: string): UmiakError {
  return new UmiakError('Invalid', message);
}
