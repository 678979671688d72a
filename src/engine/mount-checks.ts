import { readFileSync, realpathSync } from 'node:fs';
import { posix } from 'node:path';
import { UmiakError } from '#base/errors.ts';
import type { Mount } from './engine.ts';

export type Sharing = 'private' | 'slave' | 'shared';

/** What is looked up on the machine about a source. */
export interface SourceFacts {
  /** Its path without links; undefined where there is nothing. */
  resolve: (source: string) => string | undefined;
  /** Of the mount that a path lies on, and where that is. */
  sharingOf: (path: string) => { target: string; sharing: Sharing };
  /** Sources need be there only when the container starts. */
  mayComeLater?: boolean;
}

/** All of a mount's options go to the kernel in one page. */
const MOST_LAYER_CHARACTERS = 4000;
/** `size=1m`, `mode=1777`, `noexec`: no second option hides in one. */
const TMPFS_OPTION = /^[a-z_]+(=[^,\0\n]*)?$/;

/**
 * Refuses mounts that can't be as they are asked for, before anything is made. Pure but for what is looked up.
 * @throws Invalid, NotFound naming the mount
 */
export function checkMounts(mounts: readonly Mount[], facts: SourceFacts = machineFacts()): void {
  for (const mount of mounts) {
    const { source, destination, type = 'bind', propagation = 'private', options = [] } = mount;
    const target = posix.resolve('/', destination);
    if (!destination.startsWith('/') || target === '/')
      throw new UmiakError('Invalid', `mount destination ${JSON.stringify(destination)} must be an absolute path below /`);
    const refuse = (why: string, hint?: string) => new UmiakError('Invalid', `mount ${destination}: ${why}`, hint ? { hint } : {});
    if (mount.recursiveReadOnly && !mount.readOnly) throw refuse('recursiveReadOnly needs readOnly');
    if (mount.recursiveReadOnly && propagation !== 'private')
      throw refuse(`recursiveReadOnly goes with no propagation, not ${propagation}`);
    if (mount.imageSubPath !== undefined && mount.imageId === undefined) throw refuse('imageSubPath needs imageId');
    if (type === 'tmpfs') {
      const wrong = options.find(option => !TMPFS_OPTION.test(option));
      if (wrong !== undefined) throw refuse(`${JSON.stringify(wrong)} is no option of a tmpfs`);
      continue;
    }
    if (type === 'overlay') {
      const layers = mount.lowerDirs ?? [];
      if (layers.length < 2) throw refuse('an overlay to be read needs two layers at least');
      if (layers.some(layer => !layer.startsWith('/') || /[:,\\\n]/.test(layer)))
        throw refuse('layers must be absolute paths without colons');
      if (layers.join(':').length > MOST_LAYER_CHARACTERS) throw refuse(`${layers.length} layers are more than the kernel takes at once`);
      continue;
    }
    if (!source.startsWith('/')) throw new UmiakError('Invalid', `mount source ${JSON.stringify(source)} must be an absolute path`);
    const path = facts.resolve(source);
    if (path === undefined && facts.mayComeLater) continue;
    if (path === undefined) throw new UmiakError('NotFound', `mount ${destination}: source ${source} does not exist`);
    if (propagation === 'private') continue;
    const { target: on, sharing } = facts.sharingOf(path);
    const isEnough = propagation === 'rshared' ? sharing === 'shared' : sharing !== 'private';
    if (!isEnough)
      throw refuse(
        `path ${source} is mounted on ${on} but it is not a ${propagation === 'rshared' ? 'shared' : 'shared or slave'} mount`,
        `Run: mount --make-rshared ${on}`,
      );
  }
}

/** The mount that `path` lies on, by a process's mount table. Pure. */
export function findSharing(mountinfo: string, path: string): { target: string; sharing: Sharing } {
  let found: { target: string; sharing: Sharing } = { target: '/', sharing: 'private' };
  for (const line of mountinfo.split('\n')) {
    const [left = ''] = line.split(' - ');
    const [, , , , at, , ...fields] = left.split(' ');
    if (at === undefined) continue;
    const target = at.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
    const covers = target === '/' || path === target || path.startsWith(`${target}/`);
    if (!covers || target.length < found.target.length) continue;
    const has = (name: string) => fields.some(field => field.startsWith(`${name}:`));
    found = { target, sharing: has('shared') ? 'shared' : has('master') ? 'slave' : 'private' };
  }
  return found;
}

/** What this machine says. */
export function machineFacts(): SourceFacts {
  let mountinfo: string | undefined;
  return {
    resolve: source => {
      try {
        return realpathSync.native(source);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
        throw error;
      }
    },
    sharingOf: path => {
      mountinfo ??= readFileSync('/proc/self/mountinfo', 'utf8');
      return findSharing(mountinfo, path);
    },
  };
}
