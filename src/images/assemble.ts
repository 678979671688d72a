import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { type Clock, systemClock } from '#base/clock.ts';
import { UmiakError } from '#base/errors.ts';
import type { ArchivedImage } from './archive-reader.ts';
import { writeArchive } from './archive-writer.ts';
import { type AssembleFile, parseAssembleFile } from './assemble-file.ts';
import { type AssembleLock, isLockFor, readLock, writeLock } from './assemble-lock.ts';
import { composeImage } from './compose.ts';
import { ContentStore, type Lease } from './content-store.ts';
import { identityPackage, identityPaths, isDocumentation, mergedDirectories, usualApplets } from './debian-lists.ts';
import { DebianPackages, type LockedPackage, readPackage } from './debian-packages.ts';
import { ImageTree, toMergedPath, toTreeName } from './image-tree.ts';
import { type ContainerConfig, type ImageConfig, type ImageManifest, mediaTypes } from './oci.ts';
import { parseReference, toCanonicalName } from './reference.ts';
import { fromText } from './tar-format.ts';
import { readTar } from './tar-reader.ts';

export interface AssembleOptions {
  /** Fetched packages are kept here, by their sha256. */
  cacheDir: string;
  /** Resolve packages anew and rewrite the lock. */
  update?: boolean;
  /** Refuse when the lock is missing or not for this file, instead of writing it. */
  frozen?: boolean;
  /** Where the lock is; by default beside the file, its name with `.lock`. */
  lockPath?: string;
  clock?: Clock;
  signal?: AbortSignal;
  onStep?: (step: AssembleStep) => void;
}

export interface AssembleStep {
  step: 'resolving' | 'fetching' | 'unpacking' | 'writing';
  /** What it is about, in a few words. */
  text: string;
}

export interface AssembleResult {
  image: ArchivedImage;
  name: string;
  packages: LockedPackage[];
  lockPath: string;
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const PACKAGE_DATABASE = 'var/lib/dpkg/status.d';

/**
 * Makes a minimal OCI image from a declarative file (`AssembleFile`): packages with their dependencies, files, users, links. Maintainer
 * scripts never run. The file and its lock decide every byte. The image's blobs are in `content`, leased, without a name.
 */
export async function assembleImage(path: string, content: ContentStore, lease: Lease, options: AssembleOptions): Promise<AssembleResult> {
  const file = parseAssembleFile(await readAssembleFile(path), path);
  const { onStep = () => {} } = options;
  await mkdir(options.cacheDir, { recursive: true });
  const debian = new DebianPackages({
    cacheDir: options.cacheDir,
    architecture: file.architecture,
    ...(options.signal ? { signal: options.signal } : {}),
  });
  const lockPath = options.lockPath ?? `${path}.lock`;
  const lock = await lockOf(file, lockPath, debian, options);
  const work = await mkdtemp(join(options.cacheDir, 'assemble-'));
  try {
    await using tree = await ImageTree.open(join(work, 'spool'));
    if (lock.packages.length > 0) onStep({ step: 'fetching', text: `${lock.packages.length} packages` });
    const debs = await debian.fetch(lock.packages);
    for (const [i, deb] of debs.entries()) {
      onStep({ step: 'unpacking', text: `${lock.packages[i]!.name} ${lock.packages[i]!.version}` });
      await addPackage(tree, deb, lock.packages[i]!, file);
    }
    await addFromFile(tree, file, dirname(resolve(path)), lock.sourceDate);
    await addDefaults(tree, file, lock.sourceDate);
    onStep({ step: 'writing', text: file.name });
    const image = await writeImage(tree, file, lock.sourceDate, content, lease);
    return { image, name: image.names[0]!, packages: lock.packages, lockPath };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** The same as an archive for `docker load` or `ImageStore.load`, for those that have no image store of their own. */
export async function assembleArchive(
  path: string,
  options: AssembleOptions,
): Promise<Omit<AssembleResult, 'image'> & { archive: Readable }> {
  await mkdir(options.cacheDir, { recursive: true });
  const dir = await mkdtemp(join(options.cacheDir, 'archive-'));
  const remove = () => rm(dir, { recursive: true, force: true });
  try {
    const content = await ContentStore.open(dir);
    const lease = content.lease();
    const { image, ...result } = await assembleImage(path, content, lease, options);
    const manifest = JSON.parse((await content.readDocument(image.manifest.digest, 'the manifest')).toString()) as ImageManifest;
    const archived = writeArchive([{ descriptor: image.manifest, manifest, names: image.names }], content);
    const archive = Readable.from(archived, { objectMode: false });
    archive.once('close', () => void remove());
    return { ...result, archive };
  } catch (error) {
    await remove();
    throw error;
  }
}

async function readAssembleFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new UmiakError('NotFound', `the file ${path} can't be read`, { cause });
  }
}

async function lockOf(file: AssembleFile, path: string, debian: DebianPackages, options: AssembleOptions): Promise<AssembleLock> {
  const { SOURCE_DATE_EPOCH } = process.env;
  const { clock = systemClock, update = false, frozen = false, onStep = () => {} } = options;
  const asked = [...new Set(file.packages)].sort();
  if (asked.length === 0)
    return { version: 1, architecture: file.architecture, sourceDate: Number(SOURCE_DATE_EPOCH ?? 0), asked, packages: [] };
  const present = await readLock(path);
  const isCurrent = present !== undefined && isLockFor(present, asked, file.architecture);
  if (isCurrent && !update) return present;
  if (frozen)
    throw new UmiakError(
      'Conflict',
      present === undefined ? `there is no lock ${path}` : `the lock ${path} is for other packages or another architecture`,
      {
        hint: 'Assemble once without --frozen, and keep the lock with the file.',
      },
    );
  onStep({ step: 'resolving', text: asked.join(' ') });
  const sourceDate = SOURCE_DATE_EPOCH !== undefined ? Number(SOURCE_DATE_EPOCH) : Math.floor(clock.now() / 1000);
  const lock: AssembleLock = { version: 1, architecture: file.architecture, sourceDate, asked, packages: await debian.resolve(asked) };
  await writeLock(path, lock);
  return lock;
}

async function addPackage(tree: ImageTree, deb: string, { name }: LockedPackage, { keepDocs, packages }: AssembleFile): Promise<void> {
  const isWanted = (path: string) =>
    name === identityPackage && !packages.includes(name) ? identityPaths.has(path) : keepDocs || !isDocumentation(path);
  for await (const entry of readTar(readPackage(deb, 'fsys'))) {
    const path = toMergedPath(entry.name);
    const isPresentDirectory = entry.type === 'directory' && tree.has(path);
    if (path === '' || isPresentDirectory || !isWanted(path)) continue;
    if (entry.type === 'directory' && mergedDirectories.includes(path)) continue;
    await tree.add(entry, entry.type === 'file' ? entry.body() : undefined);
  }
  for await (const entry of readTar(readPackage(deb, 'ctrl'))) {
    const part = toMergedPath(entry.name);
    const suffix = part === 'control' ? '' : part === 'md5sums' ? '.md5sums' : undefined;
    if (suffix !== undefined)
      await tree.add({ name: `${PACKAGE_DATABASE}/${fromText(name)}${suffix}`, type: 'file', mtime: entry.mtime }, entry.body());
  }
}

async function addFromFile(tree: ImageTree, file: AssembleFile, baseDir: string, mtime: number): Promise<void> {
  const owners = new Owners(file);
  for (const { path, mode, owner } of file.directories)
    await tree.add({ name: toTreeName(path), type: 'directory', mode, mtime, ...owners.of(owner) });
  for (const { path, content, source, mode, owner } of file.files) {
    const attributes = { mtime, ...owners.of(owner), ...(mode !== undefined ? { mode } : {}) };
    if (content !== undefined) await tree.add({ name: toTreeName(path), type: 'file', ...attributes }, Buffer.from(content));
    else await addSource(tree, resolve(baseDir, source!), toTreeName(path), attributes, `files: ${path}: source ${source}`);
  }
  const applets = file.applets === 'all' ? usualApplets : file.applets;
  for (const applet of applets)
    if (!tree.has(`bin/${applet}`)) await tree.add({ name: `bin/${fromText(applet)}`, type: 'symlink', linkName: 'busybox', mtime });
  for (const { path, target } of file.links) await tree.add({ name: toTreeName(path), type: 'symlink', linkName: fromText(target), mtime });
}

interface Attributes {
  uid: number;
  gid: number;
  mtime: number;
  mode?: number;
}

async function addSource(tree: ImageTree, source: string, name: string, attributes: Attributes, what: string): Promise<void> {
  const found = await stat(source).catch(cause => {
    throw new UmiakError('Invalid', `${what} can't be read`, { cause });
  });
  const executable = (found.mode & 0o111) !== 0;
  if (found.isFile())
    return await tree.add(
      { name, type: 'file', mode: executable ? 0o755 : 0o644, ...attributes },
      createReadStream(source) as AsyncIterable<Buffer>,
    );
  if (!found.isDirectory()) throw new UmiakError('Invalid', `${what} is neither a file nor a directory`);
  const { uid, gid, mtime } = attributes;
  await tree.ensureDirectory(name, { uid, gid, mtime });
  for (const item of (await readdir(source, { withFileTypes: true })).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const [from, to] = [join(source, item.name), `${name}/${fromText(item.name)}`];
    if (item.isSymbolicLink()) await tree.add({ name: to, type: 'symlink', uid, gid, mtime, linkName: fromText(await readlink(from)) });
    else await addSource(tree, from, to, attributes, what);
  }
}

/** What every root file system needs, where neither packages nor the file brought it. */
async function addDefaults(tree: ImageTree, { users, groups }: AssembleFile, mtime: number): Promise<void> {
  const directory = (name: string, mode = 0o755) => tree.ensureDirectory(name, { mode, mtime });
  const file = async (name: string, text: string) => {
    if (!tree.has(name)) await tree.add({ name, type: 'file', mtime }, Buffer.from(text));
  };
  for (const name of ['dev', 'etc', 'proc', 'run', 'sys', 'usr/bin', 'usr/lib', 'usr/sbin', 'var']) await directory(name);
  await directory('root', 0o700);
  await directory('tmp', 0o1777);
  await directory('var/tmp', 0o1777);
  const link = async (name: string, linkName: string) => {
    if (!tree.has(name)) await tree.add({ name, type: 'symlink', linkName, mtime });
  };
  await link('var/run', '/run');
  if (tree.has('bin/busybox')) await link('bin/sh', 'busybox');
  if (tree.has('bin/dash')) await link('bin/sh', 'dash');
  const shell = tree.has('bin/sh') ? '/bin/sh' : '/usr/sbin/nologin';
  const all = [
    { name: 'root', uid: 0, gid: 0, home: '/root', shell },
    ...users.filter(({ name }) => name !== 'root' && name !== 'nobody'),
    { name: 'nobody', uid: 65534, gid: 65534, home: '/nonexistent', shell: '/usr/sbin/nologin' },
  ];
  const named = new Set(groups.map(({ name }) => name));
  const own = [
    { name: 'root', gid: 0 },
    ...users.filter(user => !groups.some(({ gid }) => gid === user.gid)),
    { name: 'nogroup', gid: 65534 },
  ];
  const allGroups = [
    ...own.filter(({ name }) => !named.has(name)).map(({ name, gid }) => ({ name, gid, members: [] as string[] })),
    ...groups,
  ];
  await file('etc/passwd', all.map(({ name, uid, gid, home, shell: its }) => `${name}:x:${uid}:${gid}:${name}:${home}:${its}\n`).join(''));
  await file('etc/group', allGroups.map(({ name, gid, members }) => `${name}:x:${gid}:${members.join(',')}\n`).join(''));
  await file('etc/nsswitch.conf', 'passwd: files\ngroup: files\nhosts: files dns\n');
  addMergedLinks(tree, mtime);
}

/** `/bin` → `usr/bin` and its like, for all that were used. `ImageTree` maps such names into /usr, so these are added below it. */
function addMergedLinks(tree: ImageTree, mtime: number): void {
  const used = new Set(tree.names().flatMap(name => (name.startsWith('usr/') ? [name.split('/')[1]] : [])));
  for (const name of mergedDirectories) if (used.has(name)) tree.addMergedLink(name, mtime);
}

async function writeImage(
  tree: ImageTree,
  file: AssembleFile,
  sourceDate: number,
  content: ContentStore,
  lease: Lease,
): Promise<ArchivedImage> {
  const layer = await content.write(tree.toTar(sourceDate), { lease, what: 'the layer' });
  const created = `${new Date(sourceDate * 1000).toISOString().slice(0, 19)}Z`;
  const config: ImageConfig = {
    created,
    architecture: file.architecture,
    os: 'linux',
    config: toContainerConfig(file),
    rootfs: { type: 'layers', diff_ids: [layer.digest] },
    history: [{ created, created_by: 'umiak image assemble' }],
  };
  const layers = [{ mediaType: mediaTypes.ociLayer, ...layer }];
  return await composeImage(content, { config, layers, names: [toCanonicalName(parseReference(file.name))], lease });
}

function toContainerConfig(file: AssembleFile): ContainerConfig {
  const set = (list: string[]) => Object.fromEntries(list.map(item => [item, {}]));
  return {
    Env: Object.entries({ PATH, ...file.env }).map(([key, value]) => `${key}=${value}`),
    ...(file.entrypoint.length > 0 ? { Entrypoint: file.entrypoint } : {}),
    ...(file.cmd.length > 0 ? { Cmd: file.cmd } : {}),
    ...(file.workingDir !== '' ? { WorkingDir: file.workingDir } : {}),
    ...(file.user !== '' ? { User: file.user } : {}),
    ...(file.exposedPorts.length > 0
      ? { ExposedPorts: set(file.exposedPorts.map(port => (port.includes('/') ? port : `${port}/tcp`))) }
      : {}),
    ...(file.volumes.length > 0 ? { Volumes: set(file.volumes) } : {}),
    ...(Object.keys(file.labels).length > 0 ? { Labels: file.labels } : {}),
    ...(file.stopSignal !== '' ? { StopSignal: file.stopSignal } : {}),
  };
}

/** Reads `user`, `user:group`, `1000:1000` against the file's users and groups. */
class Owners {
  readonly #users: Map<string, { uid: number; gid: number }>;
  readonly #groups: Map<string, number>;

  constructor({ users, groups }: AssembleFile) {
    this.#users = new Map<string, { uid: number; gid: number }>([
      ['root', { uid: 0, gid: 0 }],
      ['nobody', { uid: 65534, gid: 65534 }],
      ...users.map(user => [user.name, user] as const),
    ]);
    this.#groups = new Map<string, number>([
      ['root', 0],
      ['nogroup', 65534],
      ...users.map(({ name, gid }) => [name, gid] as const),
      ...groups.map(({ name, gid }) => [name, gid] as const),
    ]);
  }

  of(owner: string): { uid: number; gid: number } {
    const [user = '', group] = owner.split(':');
    const known = this.#users.get(user);
    const uid = known?.uid ?? numeric(user, owner);
    return { uid, gid: group === undefined ? (known?.gid ?? uid) : (this.#groups.get(group) ?? numeric(group, owner)) };
  }
}

function numeric(text: string, owner: string): number {
  if (/^\d{1,10}$/.test(text) && Number(text) < 0xffffffff) return Number(text);
  throw new UmiakError(
    'Invalid',
    `owner ${JSON.stringify(owner)}: ${JSON.stringify(text)} is neither a number nor a user or group of the file`,
    {
      hint: 'List it under users or groups.',
    },
  );
}
