import { posix } from 'node:path';
import { UmiakError } from '#base/errors.ts';

/** One mount as it was asked for, whichever way: `-v`, `--mount`, `--volumes-from`, an image's `VOLUME`. */
export interface MountSpec {
  type: 'bind' | 'volume' | 'tmpfs' | 'image';
  /** A path of the machine, a volume's name (empty: a new one), an image's reference. */
  source: string;
  /** Clean and absolute. */
  destination: string;
  readOnly: boolean;
  /** As `-v` wrote it. */
  mode: string;
  propagation: string;
  /** Bind mounts: what is mounted below the source is left out. */
  isShallow?: boolean;
  /** Of a read-only mount what is mounted below it: as the machine can, never, or not without. */
  readOnlyBelow?: 'never' | 'always';
  /** A missing source is made. */
  makesSource?: boolean;
  noCopy?: boolean;
  subPath?: string;
  labels?: Record<string, string>;
  driver?: string;
  driverOptions?: Record<string, string>;
  /** Options of a tmpfs. */
  options?: string[];
  /** Of `--tmpfs`: `HostConfig` tells of it, `Mounts` does not. */
  isHidden?: boolean;
}

export const PROPAGATIONS = ['private', 'rprivate', 'slave', 'rslave', 'shared', 'rshared'];
/** What a mode is made of: of each row one word at most. */
const MODE_WORDS: readonly (readonly string[])[] = [
  ['rw', 'ro'],
  ['z', 'Z'],
  PROPAGATIONS,
  ['nocopy'],
  ['consistent', 'cached', 'delegated', 'default'],
];

export function badMount(message: string): UmiakError {
  return new UmiakError('BadRequest', message);
}

/** Whether these are words of a mode, none against another. */
function isMode(mode: string): boolean {
  if (mode === '') return false;
  const rows = mode.split(',').map(word => MODE_WORDS.findIndex(words => words.includes(word)));
  return !rows.includes(-1) && new Set(rows).size === rows.length;
}

/** Reads an entry of `HostConfig.Binds`: `source:destination:mode`. @throws BadRequest in docker's words */
export function parseBind(text: string, volumeDriver = ''): MountSpec {
  const invalid = (why?: string) => badMount(`invalid volume specification: '${text.slice(0, 512)}'${why ? `: ${why}` : ''}`);
  const parts = text.split(':');
  if (parts.length > 3 || parts[0] === '' || text.includes('\0')) throw invalid();
  const [first = '', second, mode = ''] = parts;
  if (second !== undefined && parts.length === 2 && isMode(second)) throw invalid();
  if (parts.length === 3 && !isMode(mode)) throw badMount(`invalid mode: ${mode.slice(0, 64)}`);
  const [source, destination] = second === undefined ? ['', first] : [first, second];
  const words = mode.split(',');
  const propagation = words.find(word => PROPAGATIONS.includes(word)) ?? '';
  const isBind = source.startsWith('/');
  if (!isBind && propagation !== '') throw invalid('invalid mount config for type "volume": field BindOptions must not be specified');
  if (isBind && words.includes('nocopy')) throw invalid('invalid mount config for type "bind": field VolumeOptions must not be specified');
  try {
    return {
      type: isBind ? 'bind' : 'volume',
      source: isBind ? cleanPath(source) : source,
      destination: parseDestination(destination),
      readOnly: words.includes('ro'),
      mode,
      propagation,
      ...(isBind ? { makesSource: true } : {}),
      ...(words.includes('nocopy') ? { noCopy: true } : {}),
      ...(!isBind && volumeDriver !== '' ? { driver: volumeDriver } : {}),
    };
  } catch (error) {
    throw invalid((error as Error).message);
  }
}

/** Where in a container something is mounted, clean. @throws BadRequest in docker's words */
export function parseDestination(destination: string): string {
  if (!destination.startsWith('/') || destination.includes('\0'))
    throw badMount(`invalid mount path: '${destination.slice(0, 512)}' mount path must be absolute`);
  const clean = cleanPath(destination);
  if (clean === '/') throw badMount("invalid specification: destination can't be '/'");
  return clean;
}

export function cleanPath(path: string): string {
  const clean = posix.normalize(path);
  return clean.length > 1 && clean.endsWith('/') ? clean.slice(0, -1) : clean;
}

/** What a tmpfs has unless it is told otherwise. */
const TMPFS_DEFAULTS = ['noexec', 'nosuid', 'nodev'];
const OPPOSITES: Record<string, string> = { exec: 'noexec', suid: 'nosuid', dev: 'nodev', rw: 'ro' };
const TMPFS_FLAGS = new Set([...TMPFS_DEFAULTS, ...Object.keys(OPPOSITES), ...Object.values(OPPOSITES), 'sync', 'async', 'dirsync']);
const TMPFS_TIMES = new Set(['atime', 'noatime', 'diratime', 'nodiratime', 'relatime', 'norelatime', 'strictatime', 'nostrictatime']);
const TMPFS_WORDS = new Set(['defaults', 'remount', 'mand', 'nomand', ...TMPFS_TIMES, ...TMPFS_FLAGS, ...PROPAGATIONS]);
const TMPFS_VALUES = /^(size|mode|uid|gid|nr_inodes|nr_blocks|mpol|huge)=[^,\0\n]+$/;

/** Reads the options of `--tmpfs /x:size=64m,exec`; later ones win over earlier, and over docker's own. @throws BadRequest */
export function parseTmpfsOptions(text: string): { options: string[]; readOnly: boolean } {
  const words = text.split(',').filter(Boolean);
  const wrong = words.find(word => !TMPFS_WORDS.has(word) && !TMPFS_VALUES.test(word));
  if (wrong !== undefined) throw badMount(`invalid tmpfs option ${JSON.stringify(wrong.slice(0, 64))}`);
  const chosen = new Map<string, string>();
  for (const word of [...TMPFS_DEFAULTS, ...words]) {
    if (PROPAGATIONS.includes(word) || word === 'defaults' || word === 'remount') continue;
    chosen.set(OPPOSITES[word] ?? (word.includes('=') ? word.slice(0, word.indexOf('=')) : word), word);
  }
  const readOnly = chosen.get('ro') === 'ro';
  chosen.delete('ro');
  return { options: [...chosen.values()], readOnly };
}

/** Reads an entry of `HostConfig.Tmpfs`. @throws BadRequest */
export function parseTmpfs(destination: string, options: string): MountSpec {
  return {
    type: 'tmpfs',
    source: '',
    destination: parseDestination(destination),
    mode: '',
    propagation: '',
    isHidden: true,
    ...parseTmpfsOptions(options),
  };
}

/** Reads an entry of `HostConfig.VolumesFrom`: `container`, `container:ro`. @throws BadRequest */
export function parseVolumesFrom(text: string): { container: string; mode: string } {
  const colon = text.indexOf(':');
  const [container, mode] = colon < 0 ? [text, 'rw'] : [text.slice(0, colon), text.slice(colon + 1)];
  if (container === '') throw badMount('volumes from "" cannot be empty');
  if (!isMode(mode) || mode.split(',').includes('nocopy') || mode.split(',').some(word => PROPAGATIONS.includes(word)))
    throw badMount(`invalid mode for volumes-from: ${mode.slice(0, 64)}`);
  return { container, mode };
}
