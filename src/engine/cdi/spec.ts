import { UmiakError } from '#base/errors.ts';

/** What a device changes of a container (CDI specification 1.0, "containerEdits"). */
export interface ContainerEdits {
  env?: string[];
  deviceNodes?: DeviceNode[];
  mounts?: { hostPath: string; containerPath: string; type?: string; options?: string[] }[];
  hooks?: { hookName: HookName; path: string; args?: string[]; env?: string[]; timeout?: number }[];
  additionalGids?: number[];
}

export interface DeviceNode {
  path: string;
  /** Where it is on the machine; the same when absent. */
  hostPath?: string;
  type?: 'b' | 'c' | 'u';
  major?: number;
  minor?: number;
  fileMode?: number;
  permissions?: string;
  uid?: number;
  gid?: number;
}

export type HookName = 'prestart' | 'createRuntime' | 'createContainer' | 'startContainer';

export interface CdiSpec {
  /** `vendor.com/class` */
  kind: string;
  devices: { name: string; edits: ContainerEdits }[];
  /** Of every container with one of the devices. */
  edits: ContainerEdits;
}

const VERSIONS: ReadonlySet<string> = new Set(['0.3.0', '0.4.0', '0.5.0', '0.6.0', '0.7.0', '0.8.0', '1.0.0', '1.1.0']);
const KIND = /^[A-Za-z]([A-Za-z0-9_.-]*[A-Za-z0-9])?\/[A-Za-z]([A-Za-z0-9_-]*[A-Za-z0-9])?$/;
const DEVICE = /^[A-Za-z0-9]([A-Za-z0-9_.:-]*[A-Za-z0-9])?$/;
/** These run when the runtime creates a container. Others it would run when nobody asks it to. */
const HOOKS: ReadonlySet<string> = new Set<HookName>(['prestart', 'createRuntime', 'createContainer', 'startContainer']);
const MOST_ENTRIES = 4096;

type Fields = Record<string, unknown>;

/** Whether that is a device's full name, `vendor.com/class=name`. */
export function isDeviceName(text: string): boolean {
  const [kind = '', name = '', ...more] = text.split('=');
  return more.length === 0 && KIND.test(kind) && DEVICE.test(name);
}

/** Checks a specification that was read from a file. Pure. @throws Invalid naming the field */
export function toCdiSpec(value: unknown): CdiSpec {
  const spec = toFields(value, 'the document');
  const version = String(spec.cdiVersion ?? '').replace(/^v/, '');
  if (!VERSIONS.has(version)) throw invalid('cdiVersion', `${JSON.stringify(spec.cdiVersion)} is none of ${[...VERSIONS].join(', ')}`);
  const kind = toText(spec.kind, 'kind');
  if (!KIND.test(kind)) throw invalid('kind', `${JSON.stringify(kind)} must have the form vendor.com/class`);
  const devices = toList(spec.devices, 'devices').map((each, index) => {
    const device = toFields(each, `devices[${index}]`);
    const name = toText(device.name, `devices[${index}].name`);
    if (!DEVICE.test(name)) throw invalid(`devices[${index}].name`, `${JSON.stringify(name)} is no name of a device`);
    return { name, edits: toEdits(device.containerEdits, `devices[${index}].containerEdits`) };
  });
  const names = devices.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw invalid('devices', `${twice} is there twice`);
  return { kind, devices, edits: toEdits(spec.containerEdits, 'containerEdits') };
}

function toEdits(value: unknown, at: string): ContainerEdits {
  if (value === undefined || value === null) return {};
  const { env, deviceNodes, mounts, hooks, additionalGids, ...others } = toFields(value, at);
  // Resource control of Intel's, network devices: what is not known can't be done.
  const unknown = Object.keys(others).find(name => others[name] !== undefined && others[name] !== null);
  if (unknown !== undefined) throw invalid(`${at}.${unknown}`, 'is not supported');
  return {
    env: toTexts(env, `${at}.env`).map((pair, index) => {
      if (!/^[^=\0]+=[^\0]*$/.test(pair)) throw invalid(`${at}.env[${index}]`, `${JSON.stringify(pair)} must have the form NAME=value`);
      return pair;
    }),
    deviceNodes: toList(deviceNodes, `${at}.deviceNodes`).map((each, index) => toDeviceNode(each, `${at}.deviceNodes[${index}]`)),
    mounts: toList(mounts, `${at}.mounts`).map((each, index) => {
      const { hostPath, containerPath, type, options } = toFields(each, `${at}.mounts[${index}]`);
      return {
        hostPath: toPath(hostPath, `${at}.mounts[${index}].hostPath`),
        containerPath: toPath(containerPath, `${at}.mounts[${index}].containerPath`),
        ...(type ? { type: toText(type, `${at}.mounts[${index}].type`) } : {}),
        options: toTexts(options, `${at}.mounts[${index}].options`),
      };
    }),
    hooks: toList(hooks, `${at}.hooks`).map((each, index) => {
      const field = `${at}.hooks[${index}]`;
      const hook = toFields(each, field);
      const hookName = toText(hook.hookName, `${field}.hookName`);
      if (!HOOKS.has(hookName)) throw invalid(`${field}.hookName`, `${hookName} is not supported: only ${[...HOOKS].join(', ')}`);
      return {
        hookName: hookName as HookName,
        path: toPath(hook.path, `${field}.path`),
        args: toTexts(hook.args, `${field}.args`),
        env: toTexts(hook.env, `${field}.env`),
        ...optional('timeout', toNumber(hook.timeout, `${field}.timeout`)),
      };
    }),
    additionalGids: toList(additionalGids, `${at}.additionalGids`).map((id, index) => toNumber(id, `${at}.additionalGids[${index}]`) ?? 0),
  };
}

function toDeviceNode(value: unknown, at: string): DeviceNode {
  const node = toFields(value, at);
  const { type, permissions } = node;
  if (type !== undefined && type !== '' && type !== 'b' && type !== 'c' && type !== 'u')
    throw invalid(`${at}.type`, `${JSON.stringify(type)} is not b, c or u`);
  if (permissions !== undefined && !/^[rwm]{0,3}$/.test(String(permissions)))
    throw invalid(`${at}.permissions`, `${JSON.stringify(permissions)} must be of r, w and m`);
  return {
    path: toPath(node.path, `${at}.path`),
    ...(node.hostPath ? { hostPath: toPath(node.hostPath, `${at}.hostPath`) } : {}),
    ...(type ? { type } : {}),
    ...(permissions ? { permissions: String(permissions) } : {}),
    ...optional('major', toNumber(node.major, `${at}.major`)),
    ...optional('minor', toNumber(node.minor, `${at}.minor`)),
    ...optional('fileMode', toNumber(node.fileMode, `${at}.fileMode`)),
    ...optional('uid', toNumber(node.uid, `${at}.uid`)),
    ...optional('gid', toNumber(node.gid, `${at}.gid`)),
  };
}

function optional<K extends string>(key: K, value: number | undefined): { [P in K]?: number } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]?: number });
}

function toFields(value: unknown, at: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(at, 'must be an object');
  return value as Fields;
}

function toList(value: unknown, at: string): unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || value.length > MOST_ENTRIES) throw invalid(at, `must be a list of at most ${MOST_ENTRIES}`);
  return value;
}

function toTexts(value: unknown, at: string): string[] {
  return toList(value, at).map((each, index) => toText(each, `${at}[${index}]`));
}

function toText(value: unknown, at: string): string {
  if (typeof value !== 'string' || value === '') throw invalid(at, 'must be text');
  return value;
}

function toPath(value: unknown, at: string): string {
  const path = toText(value, at);
  if (!path.startsWith('/') || path.includes('\0')) throw invalid(at, `${JSON.stringify(path)} must be an absolute path`);
  return path;
}

function toNumber(value: unknown, at: string): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (!Number.isSafeInteger(value) || Number(value) < 0) throw invalid(at, `${JSON.stringify(value)} must be a whole number`);
  return Number(value);
}

function invalid(at: string, why: string): UmiakError {
  return new UmiakError('Invalid', `${at}: ${why}`);
}
