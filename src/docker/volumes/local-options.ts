import { UmiakError } from '#base/errors.ts';
import { MS_BIND, MS_NOATIME, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_REC, MS_RELATIME } from '#linux/mount.ts';

/** What a volume of the local driver mounts when it is first used. */
export interface LocalMount {
  type: string;
  device: string;
  /** As `mount -o` takes them. */
  options: string;
}

/** How a mount is to be made: by one system call, or by another process since its file system may keep it waiting. */
export type MountPlan =
  | { by: 'call'; type: string | null; device: string; flags: number; data: string }
  | { by: 'process'; type: string; device: string; options: string; addressOf?: string };

const KNOWN = ['type', 'o', 'device', 'size'];

/** Reads the options of `docker volume create`; undefined when they ask for no mount. @throws BadRequest in docker's words */
export function parseLocalOptions(options: Readonly<Record<string, string>>): LocalMount | undefined {
  const wrong = Object.keys(options).find(key => !KNOWN.includes(key));
  if (wrong !== undefined) throw new UmiakError('BadRequest', `invalid option: ${JSON.stringify(wrong.slice(0, 64))}`);
  const { type = '', device = '', o = '', size } = options;
  if (size !== undefined) throw new UmiakError('BadRequest', 'quota size requested but no quota support');
  if (device !== '' && type === '') throw new UmiakError('BadRequest', 'missing required option: "type"');
  if (type !== '' && device === '') throw new UmiakError('BadRequest', 'missing required option: "device"');
  if ([type, device, o].some(value => value.includes('\0') || value.length > 4000))
    throw new UmiakError('BadRequest', 'invalid option: type, device and o must be short texts');
  if (/^-|[\s,]/.test(type)) throw new UmiakError('BadRequest', `invalid option: type ${JSON.stringify(type)}`);
  if (type === '') {
    if (o !== '') throw new UmiakError('BadRequest', 'missing required option: "device"');
    return undefined;
  }
  return { type, device, options: o };
}

const FLAGS: Record<string, number> = {
  ro: MS_RDONLY,
  nosuid: MS_NOSUID,
  nodev: MS_NODEV,
  noexec: MS_NOEXEC,
  noatime: MS_NOATIME,
  relatime: MS_RELATIME,
  bind: MS_BIND,
  rbind: MS_BIND | MS_REC,
};
const NOTHING = new Set(['rw', 'suid', 'dev', 'exec', 'defaults', 'atime', 'norelatime', 'async']);
/** File systems that another machine serves. */
const SERVED = /^(nfs4?|cifs|smb3|ceph|glusterfs|9p|fuse(\..+)?)$/;

/** How to make a volume's mount. Pure. @throws BadRequest for a bind of what is no path */
export function planLocalMount({ type, device, options }: LocalMount): MountPlan {
  const words = options.split(',').filter(Boolean);
  const isBind = words.includes('bind') || words.includes('rbind');
  if (!isBind && type !== 'tmpfs') {
    const address = SERVED.test(type) ? words.find(word => word.startsWith('addr='))?.slice('addr='.length) : undefined;
    return { by: 'process', type, device, options, ...(address ? { addressOf: address } : {}) };
  }
  if (isBind && !device.startsWith('/')) throw new UmiakError('BadRequest', `device ${JSON.stringify(device)} must be an absolute path`);
  const flags = words.reduce((all, word) => all | (FLAGS[word] ?? 0), 0);
  const data = words.filter(word => !(word in FLAGS) && !NOTHING.has(word)).join();
  return { by: 'call', type: isBind ? null : type, device, flags, data };
}
