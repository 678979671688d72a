import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { promisify } from 'node:util';
import { UmiakError } from '#base/errors.ts';
import type { EnginePaths } from './paths.ts';
import type { ContainerRecord } from './records.ts';
import type { OciRuntime } from './runtime.ts';

const run = promisify(execFile);
const CHECK_TIMEOUT_MS = 30_000;
const MAX_BYTES = 1 << 20;
const CRIU = ['/usr/sbin/criu', '/usr/local/sbin/criu', '/usr/bin/criu', '/usr/local/bin/criu'];

export interface CheckpointOptions {
  record: ContainerRecord;
  runtime: OciRuntime;
  paths: EnginePaths;
  /** Absolute; an archive in the format that CRI-O and containerd write. */
  location: string;
  timeoutMs: number;
}

/**
 * Writes a running container's processes and what it changed into an archive; it goes on running. Half an archive is never at `location`.
 * @throws `NotImplemented` in words where criu or the runtime can't do it, `Timeout`
 */
export async function checkpoint({ record, runtime, paths, location, timeoutMs }: CheckpointOptions): Promise<void> {
  if (!isAbsolute(location)) throw new UmiakError('Invalid', `the location ${JSON.stringify(location)} must be an absolute path`);
  if (!runtime.hasHostProcesses)
    throw new UmiakError('NotImplemented', `containers of the runtime ${runtime.name} can not be checkpointed`, {
      hint: 'crun and runc can, with criu.',
    });
  await checkCriu();
  await checkRuntime(runtime);
  await mkdir(dirname(location), { recursive: true, mode: 0o700 });
  const directory = await mkdtemp(join(dirname(location), '.checkpoint-'));
  try {
    const images = join(directory, 'checkpoint');
    await act(
      runtime.path,
      [...runtime.args, 'checkpoint', '--image-path', images, '--work-path', directory, '--leave-running', record.id],
      timeoutMs,
      join(directory, 'dump.log'),
    );
    const upper = paths.writable(record.id);
    const { stdout: removed } = await run('find', [upper, '-type', 'c', '-printf', '%P\\n'], { maxBuffer: MAX_BYTES });
    await act('tar', ['-C', upper, '--xattrs', '-cf', join(directory, 'rootfs-diff.tar'), ...excludes(removed), '.'], timeoutMs);
    const notes = {
      ...toNotes(record, readFileSync(`${paths.bundle(record.id)}/config.json`, 'utf8')),
      'deleted.files': JSON.stringify(lines(removed)),
    };
    for (const [name, text] of Object.entries(notes)) await writeFile(join(directory, name), text, { mode: 0o600 });
    await act('tar', ['-C', directory, '-cf', `${directory}.tar`, '.'], timeoutMs);
    await rename(`${directory}.tar`, location);
  } finally {
    await rm(directory, { recursive: true, force: true });
    await rm(`${directory}.tar`, { force: true });
  }
}

/** What a restore needs to know beside the processes: `spec.dump` and `config.dump` of the archive. Pure. */
export function toNotes(record: ContainerRecord, spec: string): Record<'spec.dump' | 'config.dump', string> {
  const { id, config, imageRef, imageId, createdAtMs, runtime } = record;
  return {
    'spec.dump': spec,
    'config.dump': JSON.stringify({
      id,
      name: config.metadata.name,
      rootfsImage: config.image,
      rootfsImageRef: imageId,
      rootfsImageName: imageRef,
      runtime,
      createdTime: new Date(createdAtMs).toISOString(),
      checkpointedTime: new Date().toISOString(),
    }),
  };
}

/** Why criu does not work here: it is `absent`, or what its check says; undefined where it works. */
export async function criuProblem(): Promise<'absent' | { says: string } | undefined> {
  const criu = CRIU.find(existsSync);
  if (criu === undefined) return 'absent';
  try {
    await run(criu, ['check'], { timeout: CHECK_TIMEOUT_MS, killSignal: 'SIGKILL', maxBuffer: MAX_BYTES });
    return undefined;
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    return {
      says:
        lines(`${stdout}\n${stderr}`)
          .find(line => /error|fail/i.test(line))
          ?.trim() ?? 'it did not end',
    };
  }
}

/** @throws NotImplemented with what criu says */
async function checkCriu(): Promise<void> {
  const problem = await criuProblem();
  if (problem === undefined) return;
  const why = problem === 'absent' ? 'criu is not installed' : `on this kernel: criu check: ${problem.says}`;
  throw new UmiakError('NotImplemented', `containers can not be checkpointed${problem === 'absent' ? ':' : ''} ${why}`, {
    hint: problem === 'absent' ? 'Install the package criu.' : 'See `umiak doctor`.',
  });
}

/** @throws NotImplemented for a crun that was built without criu, as Debian's is */
async function checkRuntime({ name, type, path }: OciRuntime): Promise<void> {
  if (type !== 'crun' || /\+CRIU/.test((await run(path, ['--version'], { timeout: CHECK_TIMEOUT_MS })).stdout)) return;
  throw new UmiakError('NotImplemented', `containers of the runtime ${name} can not be checkpointed: ${path} was built without criu`, {
    hint: "runc's can: choose it by a RuntimeClass or --runtime.",
  });
}

/** @throws InternalError with the reason: what criu's log says, if it got so far; Timeout */
async function act(program: string, args: readonly string[], timeoutMs: number, log?: string): Promise<void> {
  try {
    await run(program, args, { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: MAX_BYTES });
  } catch (error) {
    const { stderr = '', killed = false } = error as { stderr?: string; killed?: boolean };
    if (killed) throw new UmiakError('Timeout', `the checkpoint was not done within ${timeoutMs} ms`, { cause: error });
    const said = log !== undefined && existsSync(log) ? lines(readFileSync(log, 'utf8')).find(line => /Error \(/.test(line)) : undefined;
    const why = said?.replace(/^.*?Error \([^)]*\): /, 'criu: ') ?? lines(stderr).at(-1) ?? 'no reason was given';
    throw new UmiakError('InternalError', `the checkpoint failed: ${why}`, { cause: error });
  }
}

/** Whiteouts are told by name: as devices they would hide nothing where they are unpacked. */
function excludes(removed: string): string[] {
  return lines(removed).flatMap(path => ['--exclude', `./${path}`]);
}

function lines(text: string): string[] {
  return text.split('\n').filter(Boolean);
}
