import type { Stats } from 'node:fs';
import { chmod, mkdir, stat, writeFile } from 'node:fs/promises';
import { UmiakError } from '#base/index.ts';
import { requireAnswering } from '#linux/answering.ts';
import type { PreparedVolume } from '../parts.ts';
import type { Volume } from './payloads.ts';

const HOST_PATH_TYPES: Record<string, { name: string; is: (stats: Stats) => boolean }> = {
  Directory: { name: 'directory', is: stats => stats.isDirectory() },
  File: { name: 'file', is: stats => stats.isFile() },
  Socket: { name: 'socket file', is: stats => stats.isSocket() },
  CharDevice: { name: 'character device', is: stats => stats.isCharacterDevice() },
  BlockDevice: { name: 'block device', is: stats => stats.isBlockDevice() },
};

/**
 * A file or directory of the machine, made where its type lets us.
 * @throws `NotFound` when it is not what the type says, `Timeout` when its file system does not answer
 */
export async function prepareHostPath({ path, type = '' }: NonNullable<Volume['hostPath']>): Promise<PreparedVolume> {
  await requireAnswering([path]);
  const there = await stat(path).catch(() => undefined);
  if (!there && (type === 'DirectoryOrCreate' || type === '')) await makeDirectory(path, 0o755);
  if (!there && type === 'FileOrCreate') await writeFile(path, '', { flag: 'a', mode: 0o644 });
  const expected = HOST_PATH_TYPES[type.replace('OrCreate', '')];
  const stats = there ?? (await stat(path).catch(() => undefined));
  if (expected && !(stats && expected.is(stats))) {
    throw new UmiakError('NotFound', `hostPath type check failed: ${path} is not a ${expected.name}`, {
      hint: 'Make it on the node, or change the type of the hostPath volume.',
    });
  }
  return { path };
}

/** A directory with this mode whatever the umask; one that is there stays as it is. */
export async function makeDirectory(path: string, mode: number): Promise<void> {
  if ((await mkdir(path, { recursive: true, mode })) !== undefined) await chmod(path, mode);
}
