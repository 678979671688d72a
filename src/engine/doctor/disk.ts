import { existsSync, readdirSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { readMountTable } from '#linux/mount-table.ts';
import { type Finding, findingsOf } from './finding.ts';
import type { DiskTrial } from './scratch-worker.ts';

export interface DiskFacts {
  directory: string;
  /** File system of the directory, or of where it will be. */
  type: string;
  freeBytes: number;
  totalBytes: number;
  /** 0 where the file system does not count them. */
  inodes: number;
  inodesFree: number;
  /** Names of images whose records were altered there. */
  alteredNames: number;
  /** What was tried out there; absent: it was not, for lack of privileges. */
  trial?: DiskTrial | undefined;
}

const MIN_FREE_BYTES = 1 << 30;
const COMFORT_BYTES = 5 * 2 ** 30;
const MIN_SHARE = 0.05;
const REMOTE = new Set(['nfs', 'nfs4', 'cifs', 'smb3', 'ceph', 'fuse', '9p', 'virtiofs']);
const ELSEWHERE = 'Choose another --data-dir, on ext4, xfs or btrfs.';

const { ok, fallsBack, missing } = findingsOf('disk');

/** Judges the data directory's file system by what it is and by what was tried out on it. Pure. */
export function planDisk(facts: DiskFacts): Finding[] {
  return [
    planKind(facts),
    planSpace(facts),
    planInodes(facts),
    ...planAltered(facts),
    ...(facts.trial ? planTrial(facts.trial, facts.directory) : []),
  ];
}

function planKind({ type, directory }: DiskFacts): Finding {
  if (type === 'tmpfs' || type === 'ramfs')
    return fallsBack('file system', `${directory} is on ${type}: a reboot takes everything away.`, 'Choose another --data-dir, on a disk.');
  if (REMOTE.has(type.split('.')[0] ?? type))
    return fallsBack('file system', `${directory} is on ${type}: it may hang or come late, and locks may not hold.`, ELSEWHERE);
  return ok('file system', `${directory} is on ${type}.`);
}

function planSpace({ freeBytes, totalBytes, directory }: DiskFacts): Finding {
  const free = `${gib(freeBytes)} of ${gib(totalBytes)} GiB are free`;
  const remedy = `Make room below ${directory} (umiak image ls shows what images take), or choose another --data-dir.`;
  if (freeBytes < Math.min(MIN_FREE_BYTES, totalBytes * MIN_SHARE))
    return missing('space', `${free}: the node tells of disk pressure and takes no pods.`, remedy);
  if (freeBytes < COMFORT_BYTES) return fallsBack('space', `${free}: few images fit in.`, remedy);
  return ok('space', `${free}.`);
}

function planInodes({ inodes, inodesFree, directory }: DiskFacts): Finding {
  if (inodes === 0) return ok('inodes', 'The file system does not limit them.');
  const free = `${inodesFree} of ${inodes} are free`;
  if (inodesFree >= inodes * MIN_SHARE) return ok('inodes', `${free}.`);
  return missing(
    'inodes',
    `${free}: the node tells of disk pressure and takes no pods.`,
    `Remove small files below ${directory}, or choose another --data-dir.`,
  );
}

function planAltered({ alteredNames, directory }: DiskFacts): Finding[] {
  if (alteredNames === 0) return [];
  return [
    fallsBack(
      'image names',
      `${alteredNames} names of images were altered on disk (${directory}/images/quarantine); their images are there without a name.`,
      'Pull or tag them again and look after the disk; docker image prune removes those that nobody uses.',
    ),
  ];
}

function planTrial(
  { problem, overlay, trustedAttributes, userAttributes, reflink, projectQuota }: DiskTrial,
  directory: string,
): Finding[] {
  if (problem !== undefined)
    return [missing('trial', `Nothing could be tried out at ${directory}: ${problem}.`, 'Make it writable for root.')];
  return [
    overlay === undefined
      ? ok('overlayfs', 'Layers of images can lie over each other here.')
      : fallsBack(
          'overlayfs',
          `Each container gets a copy of its image${reflink ? ', of which it shares the blocks' : ''}: ${overlay}.`,
          `modprobe overlay; where that does not help: ${ELSEWHERE}`,
        ),
    trustedAttributes && userAttributes
      ? ok('attributes', 'Extended attributes are kept, file capabilities among them.')
      : fallsBack(
          'attributes',
          `Attributes of ${trustedAttributes ? 'user.' : userAttributes ? 'trusted.' : 'any kind'} are not kept: images with file capabilities may not work.`,
          ELSEWHERE,
        ),
    reflink
      ? ok('reflinks', 'Copies of files share their blocks.')
      : fallsBack(
          'reflinks',
          'Copies of files take their full size.',
          'Choose another --data-dir, on xfs (reflink=1) or btrfs, where that matters.',
        ),
    projectQuota
      ? ok('project quotas', 'The kernel counts by project here.')
      : fallsBack(
          'project quotas',
          "The kernel does not count by project: pods' disk use is measured by walking through their files.",
          'Mount with prjquota, where that matters.',
        ),
  ];
}

/** Reads what `statfs` and the mount table say of the directory, or of the nearest one above that is there. */
export function readDisk(directory: string): DiskFacts {
  const place = nearestExisting(directory);
  const { bsize, blocks, bavail, files, ffree } = statfsSync(place);
  const above = readMountTable().filter(({ target }) => place === target || target === '/' || place.startsWith(`${target}/`));
  const type = above.reduce(
    (best, entry) => (entry.target.length >= best.target.length ? entry : best),
    above[0] ?? { target: '', type: 'unknown' },
  ).type;
  const quarantine = `${directory}/images/quarantine`;
  const alteredNames = existsSync(quarantine) ? readdirSync(quarantine).length : 0;
  return { directory, type, freeBytes: bsize * bavail, totalBytes: bsize * blocks, inodes: files, inodesFree: ffree, alteredNames };
}

/** The directory itself, or the nearest above it that exists. */
export function nearestExisting(directory: string): string {
  return existsSync(directory) || directory === '/' ? directory : nearestExisting(dirname(directory));
}

function gib(bytes: number): string {
  return (bytes / 2 ** 30).toFixed(1);
}
