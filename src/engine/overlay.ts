import { closeSync, constants, existsSync, openSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { UmiakError } from '#base/errors.ts';
import { mountWithOptions } from '#linux/file-system-context.ts';
import { SyscallError } from '#linux/libc.ts';
import { MS_BIND, MS_REMOUNT, mount, mountInThread } from '#linux/mount.ts';

const O_PATH = 0o10000000;
/** The kernel takes one page of options. */
const MAX_OPTIONS_BYTES = 4000;
/** `OVL_MAX_STACK` of the kernel. */
const MAX_LAYERS = 500;

export interface OverlayOptions {
  /** Top first. */
  lowerDirs: readonly string[];
  /** Where it is written to; absent: nowhere, it is there to be read, and has at least two layers. */
  writable?: { upper: string; work: string };
  /** What is written need not outlive a loss of power: the kernel does not write all of the file system out when it is unmounted. */
  isVolatile?: boolean;
  target: string;
  flags?: number;
}

/** The options as text, or undefined when they are too long or have characters that overlay takes for its own. Pure. */
export function planOverlayOptions({
  lowerDirs,
  writable,
  isVolatile = false,
}: Pick<OverlayOptions, 'lowerDirs' | 'writable' | 'isVolatile'>): string | undefined {
  const options = `lowerdir=${lowerDirs.join(':')}${writable ? `,upperdir=${writable.upper},workdir=${writable.work}${isVolatile ? ',volatile' : ''}` : ''}`;
  const isPlain = [...lowerDirs, ...Object.values(writable ?? {})].every(path => !/[:,\\]/.test(path));
  return isPlain && Buffer.byteLength(options) < MAX_OPTIONS_BYTES ? options : undefined;
}

/**
 * Mounts an overlay with one system call, off the event loop since the kernel writes to the upper file system meanwhile; any number of
 * layers up to the kernel's 500, any characters in their paths.
 */
export async function mountOverlay({ target, flags = 0, ...layers }: OverlayOptions): Promise<void> {
  if (layers.lowerDirs.length > MAX_LAYERS)
    throw new UmiakError(
      'Invalid',
      `an image of ${layers.lowerDirs.length} layers can't be mounted: overlayfs takes at most ${MAX_LAYERS}`,
      {
        hint: 'Build it with fewer layers, or squash it.',
      },
    );
  const options = planOverlayOptions(layers);
  if (options !== undefined) {
    await mountInThread('overlay', target, 'overlay', flags, options);
    return;
  }
  const fds: number[] = [];
  const short = (path: string) => {
    const fd = openSync(path, constants.O_DIRECTORY | O_PATH);
    fds.push(fd);
    return `/proc/self/fd/${fd}`;
  };
  try {
    const { lowerDirs, writable } = layers;
    const above = writable ? `,upperdir=${short(writable.upper)},workdir=${short(writable.work)}` : '';
    const lower = lowerDirs.map(short);
    const data = `lowerdir=${lower.join(':')}${above}`;
    if (data.length < MAX_OPTIONS_BYTES) await mountInThread('overlay', target, 'overlay', flags, data);
    else mountMany(target, lower, writable && { upper: short(writable.upper), work: short(writable.work) }, flags);
  } finally {
    for (const fd of fds) closeSync(fd);
  }
}

/** More than about 230 layers; such images are so rare that the event loop may wait for them. */
function mountMany(target: string, lower: readonly string[], writable: OverlayOptions['writable'], flags: number): void {
  const above = writable ? [['upperdir', writable.upper] as const, ['workdir', writable.work] as const] : [];
  try {
    mountWithOptions('overlay', target, [...lower.map(path => ['lowerdir+', path] as const), ...above]);
  } catch (cause) {
    if (!(cause instanceof SyscallError && /lowerdir\+/.test(cause.message))) throw cause;
    throw new UmiakError('Invalid', `an image of ${lower.length} layers can't be mounted by this kernel: that takes Linux 6.5`, {
      cause,
      hint: 'Build it with fewer layers (200 can be mounted everywhere), or squash it.',
    });
  }
  if (flags !== 0) mount('none', target, null, MS_REMOUNT | MS_BIND | flags);
}

/** Directories that every root file system needs: no runtime starts without them. */
export const ROOT_DIRECTORIES = ['dev', 'proc', 'sys', 'etc'] as const;

/** Makes them, where the image has none. Links in the image's place are left to the runtime. */
export async function ensureMountPoints(rootfs: string): Promise<void> {
  const missing = ROOT_DIRECTORIES.map(name => `${rootfs}/${name}`).filter(path => !existsSync(path));
  await Promise.all(missing.map(path => tryMkdir(path)));
}

async function tryMkdir(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o755 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}
