import { lstatSync, readdirSync, statSync } from 'node:fs';
import { UmiakError } from '#base/errors.ts';
import type { OciDevice, OciResources } from './oci-types.ts';

type AllowedDevice = OciDevice & { permissions: string };

/** Directories of /dev that a container gets of its own. */
const OWN = new Set(['pts', 'shm', 'fd', 'mqueue', '.lxc', '.lxd-mounts', '.udev', 'console']);

/** All device nodes of the host, for a privileged container. */
export function readHostDevices(directory = '/dev'): AllowedDevice[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap(entry => {
    const path = `${directory}/${entry.name}`;
    if (OWN.has(entry.name)) return [];
    if (entry.isDirectory()) return readHostDevices(path);
    return entry.isCharacterDevice() || entry.isBlockDevice() ? (toDevice(path, path, 'rwm', lstatSync(path)) ?? []) : [];
  });
}

/** The device nodes at or below `path` of the host. @throws Invalid when there are none */
export function readDevices(path: string, containerPath = path, permissions = 'rwm'): AllowedDevice[] {
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) return [readDevice(path, containerPath, permissions)];
  const found = readHostDevices(path).map(({ path: each }) => readDevice(each, containerPath + each.slice(path.length), permissions));
  if (found.length === 0) throw new UmiakError('Invalid', `${path} is not a device of this machine, and has none`);
  return found;
}

/** The device node at `path` of the host. @throws Invalid when it is none */
export function readDevice(path: string, containerPath = path, permissions = 'rwm'): AllowedDevice {
  if (!path.startsWith('/') || !containerPath.startsWith('/'))
    throw new UmiakError('Invalid', `device ${path}: ${containerPath} must be an absolute path`);
  if (!/^[rwm]{1,3}$/.test(permissions))
    throw new UmiakError('Invalid', `device ${path}: permissions ${JSON.stringify(permissions)} must be of r, w and m`);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) throw new UmiakError('Invalid', `there is no device ${path} on this machine`);
  const device = toDevice(path, containerPath, permissions, stat);
  if (!device) throw new UmiakError('Invalid', `${path} is not a device of this machine`);
  return device;
}

/** The numbers of a block device by its node. @throws Invalid */
export function blockNumbers(path: string): { major: number; minor: number } {
  const stat = statSync(path, { throwIfNoEntry: false });
  const device = stat?.isBlockDevice() ? toDevice(path, path, '', stat) : undefined;
  if (!device) throw new UmiakError('Invalid', `${path} is not a block device of this machine`);
  return { major: device.major, minor: device.minor };
}

/** A rule of control groups, `c 10:229 rw`. Pure. @throws Invalid */
export function parseDeviceRule(rule: string): OciResources['devices'][number] {
  const [, type, major = '*', minor = '*', access = ''] = /^([abc]) +(\d{1,4}|\*):(\d{1,7}|\*) +([rwm]{1,3})$/.exec(rule) ?? [];
  if (type === undefined) throw new UmiakError('Invalid', `deviceRules: ${JSON.stringify(rule)} must have a form such as "c 10:229 rw"`);
  const number = (text: string) => (text === '*' ? undefined : Number(text));
  const [first, second] = [number(major), number(minor)];
  return {
    allow: true,
    access,
    type,
    ...(first === undefined ? {} : { major: first }),
    ...(second === undefined ? {} : { minor: second }),
  };
}

function toDevice(path: string, containerPath: string, permissions: string, stat: ReturnType<typeof statSync>): AllowedDevice | undefined {
  if (!path.startsWith('/') || !(stat?.isCharacterDevice() || stat?.isBlockDevice())) return undefined;
  const number = Number(stat.rdev);
  return {
    path: containerPath,
    type: stat.isBlockDevice() ? 'b' : 'c',
    major: (number >> 8) & 0xfff,
    minor: (number & 0xff) | ((number >> 12) & 0xfff00),
    fileMode: Number(stat.mode) & 0o777,
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    permissions,
  };
}
