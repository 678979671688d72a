import { isObject, type JsonObject } from '#base/json-object.ts';
import { badMount, cleanPath, type MountSpec, PROPAGATIONS, parseDestination, parseTmpfsOptions } from './mount-spec.ts';

/** The options that a type takes besides `Target`, `ReadOnly` and `Consistency`. */
const OPTIONS_OF: Record<string, string> = {
  bind: 'BindOptions',
  volume: 'VolumeOptions',
  tmpfs: 'TmpfsOptions',
  image: 'ImageOptions',
};
const CONSISTENCIES = ['', 'default', 'consistent', 'cached', 'delegated'];

/** Reads an entry of `HostConfig.Mounts` (`--mount`). @throws BadRequest in docker's words */
export function parseMount(value: unknown): MountSpec {
  if (!isObject(value)) throw badMount('invalid mount config: it must be an object');
  const type = text(value, 'Type');
  const refuse = (why: string) => badMount(`invalid mount config for type "${type.slice(0, 64)}": ${why}`);
  const own = OPTIONS_OF[type];
  if (own === undefined) throw refuse(type === 'npipe' || type === 'cluster' ? 'mount type not supported here' : 'mount type unknown');
  const foreign = Object.values(OPTIONS_OF).find(name => name !== own && isGiven(value[name]));
  if (foreign !== undefined) throw refuse(`field ${foreign} must not be specified`);
  if (text(value, 'Source').includes('\0')) throw refuse('Source must be a path without NUL');
  if (text(value, 'Target') === '') throw refuse('field Target must not be empty');
  if (!CONSISTENCIES.includes(text(value, 'Consistency')))
    throw refuse(`field Consistency must be one of ${CONSISTENCIES.slice(1).join(', ')}`);
  const options = isObject(value[own]) ? value[own] : {};
  const shared = {
    source: text(value, 'Source'),
    destination: parseTarget(text(value, 'Target'), refuse),
    readOnly: flag(value, 'ReadOnly'),
    mode: '',
    propagation: '',
  };
  if (type === 'bind') return parseBindMount(shared, options, refuse);
  if (type === 'volume') return parseVolumeMount(shared, options, refuse);
  if (type === 'tmpfs') return parseTmpfsMount(shared, options, refuse);
  if (shared.source === '') throw refuse('field Source must not be empty');
  return { ...shared, type: 'image', readOnly: true, ...subPathOf(options, refuse) };
}

type Shared = Omit<MountSpec, 'type'>;
type Refuse = (why: string) => Error;

function parseBindMount(shared: Shared, options: JsonObject, refuse: Refuse): MountSpec {
  if (shared.source === '') throw refuse('field Source must not be empty');
  if (!shared.source.startsWith('/')) throw refuse(`invalid mount path: '${shared.source.slice(0, 512)}' mount path must be absolute`);
  const propagation = text(options, 'Propagation');
  if (propagation !== '' && !PROPAGATIONS.includes(propagation)) throw refuse(`invalid propagation mode: ${propagation.slice(0, 64)}`);
  const [never, always] = [flag(options, 'ReadOnlyNonRecursive'), flag(options, 'ReadOnlyForceRecursive')];
  if (never && always) throw refuse('ReadOnlyNonRecursive and ReadOnlyForceRecursive are mutually exclusive');
  for (const [isOn, name] of [
    [never, 'ReadOnlyNonRecursive'],
    [always, 'ReadOnlyForceRecursive'],
  ] as const)
    if (isOn && !shared.readOnly) throw refuse(`${name} requires ReadOnly`);
  if (always && flag(options, 'NonRecursive')) throw refuse('ReadOnlyForceRecursive goes not with NonRecursive');
  if (always && propagation !== 'private' && propagation !== 'rprivate' && propagation !== '')
    throw refuse('ReadOnlyForceRecursive requires Propagation to be rprivate');
  return {
    ...shared,
    type: 'bind',
    source: cleanPath(shared.source),
    propagation,
    ...(flag(options, 'NonRecursive') ? { isShallow: true } : {}),
    ...(flag(options, 'CreateMountpoint') ? { makesSource: true } : {}),
    ...(never ? { readOnlyBelow: 'never' } : {}),
    ...(always ? { readOnlyBelow: 'always' } : {}),
  };
}

function parseVolumeMount(shared: Shared, options: JsonObject, refuse: Refuse): MountSpec {
  const driver = isObject(options.DriverConfig) ? options.DriverConfig : {};
  return {
    ...shared,
    type: 'volume',
    ...(flag(options, 'NoCopy') ? { noCopy: true } : {}),
    ...subPathOf(options, refuse),
    ...(isGiven(options.Labels) ? { labels: texts(options, 'Labels') } : {}),
    ...(text(driver, 'Name') === '' ? {} : { driver: text(driver, 'Name') }),
    ...(isGiven(driver.Options) ? { driverOptions: texts(driver, 'Options') } : {}),
  };
}

function parseTmpfsMount(shared: Shared, options: JsonObject, refuse: Refuse): MountSpec {
  if (shared.source !== '') throw refuse('field Source must not be specified');
  const { SizeBytes: size = 0, Mode: mode = 0, Options: more } = options;
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) throw refuse('SizeBytes must not be negative');
  if (typeof mode !== 'number' || !Number.isSafeInteger(mode) || mode < 0 || mode > 0o7777)
    throw refuse('Mode must be bits of permissions');
  const words = [
    ...(size > 0 ? [`size=${size}`] : []),
    ...(mode > 0 ? [`mode=${mode.toString(8)}`] : []),
    ...(isGiven(more) ? pairs(more, refuse) : []),
  ];
  const { options: chosen, readOnly } = parseTmpfsOptions(words.join());
  return { ...shared, type: 'tmpfs', options: chosen, readOnly: shared.readOnly || readOnly };
}

/** `[["uid","1000"],["exec"]]`. */
function pairs(value: unknown, refuse: Refuse): string[] {
  const isPair = (each: unknown): each is string[] =>
    Array.isArray(each) && each.length >= 1 && each.length <= 2 && each.every(word => typeof word === 'string' && !word.includes(','));
  if (!Array.isArray(value) || !value.every(isPair)) throw refuse('Options must be a list of names, each with a value or none');
  return value.map(pair => pair.join('='));
}

function subPathOf(options: JsonObject, refuse: Refuse): { subPath?: string } {
  const path = text(options, 'Subpath');
  if (path === '') return {};
  if (path.startsWith('/') || path.includes('\0') || cleanPath(path).split('/')[0] === '..')
    throw refuse(`subpath must be a relative path within the volume, not ${JSON.stringify(path.slice(0, 512))}`);
  return { subPath: cleanPath(path) };
}

function parseTarget(target: string, refuse: Refuse): string {
  try {
    return parseDestination(target);
  } catch (error) {
    throw refuse((error as Error).message);
  }
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function text(object: JsonObject, key: string): string {
  const value = object[key] ?? '';
  if (typeof value !== 'string') throw badMount(`invalid mount config: ${key} must be a string`);
  return value;
}

function flag(object: JsonObject, key: string): boolean {
  const value = object[key] ?? false;
  if (typeof value !== 'boolean') throw badMount(`invalid mount config: ${key} must be a boolean`);
  return value;
}

function texts(object: JsonObject, key: string): Record<string, string> {
  const value = object[key];
  if (!isObject(value) || !Object.values(value).every(each => typeof each === 'string'))
    throw badMount(`invalid mount config: ${key} must be an object of strings`);
  return { ...value } as Record<string, string>;
}
