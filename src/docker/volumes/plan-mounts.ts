import { isObject } from '#base/json-object.ts';
import type { ContainerMount, MountsRequest } from './container-mounts.ts';
import { parseMount } from './mount-request.ts';
import { badMount, type MountSpec, parseBind, parseDestination, parseTmpfs, parseVolumesFrom } from './mount-spec.ts';

/** Each is a mount of the kernel's, and of its table in each mount namespace. */
const MOST_MOUNTS = 1000;

/** Labels of a volume that nobody named. */
export const ANONYMOUS_LABEL = 'com.docker.volume.anonymous';

/**
 * What is to be mounted where, parents before what lies in them: of `VolumesFrom` what the others don't replace, then what is bound and mounted,
 * at last new volumes where the image wants them and nothing else is. Pure.
 * @throws BadRequest in docker's words, NotFound for the container of a `VolumesFrom`
 */
export function planMounts({ volumes, host }: Pick<MountsRequest, 'volumes' | 'host'>, mountsOf: MountsOf): MountSpec[] {
  const driver = typeof host.VolumeDriver === 'string' ? host.VolumeDriver : '';
  const planned = new Map<string, MountSpec>();
  for (const from of texts('VolumesFrom', host.VolumesFrom))
    for (const spec of fromContainer(from, mountsOf)) planned.set(spec.destination, spec);
  const asked = [
    ...texts('Binds', host.Binds).map(text => parseBind(text, driver)),
    ...list('Mounts', host.Mounts).map(parseMount),
    ...tmpfsOf(host.Tmpfs),
  ];
  const taken = new Set<string>();
  for (const spec of asked) {
    if (taken.has(spec.destination)) throw badMount(`Duplicate mount point: ${spec.destination}`);
    taken.add(spec.destination);
    planned.set(spec.destination, spec);
  }
  for (const wanted of Object.keys(volumes ?? {})) {
    const destination = parseDestination(wanted);
    if (planned.has(destination)) continue;
    const spec: MountSpec = { type: 'volume', source: '', destination, readOnly: false, mode: '', propagation: '' };
    planned.set(destination, driver === '' ? spec : { ...spec, driver });
  }
  if (planned.size > MOST_MOUNTS) throw badMount(`a container has at most ${MOST_MOUNTS} mounts, not ${planned.size}`);
  return [...planned.values()].sort((a, b) => (a.destination < b.destination ? -1 : 1));
}

/** The mounts of another container, by its name or id. @throws NotFound */
type MountsOf = (container: string) => readonly ContainerMount[];

function fromContainer(text: string, mountsOf: MountsOf): MountSpec[] {
  const { container, mode } = parseVolumesFrom(text);
  const isReadOnly = mode.split(',').includes('ro');
  return mountsOf(container).flatMap(({ point, part, makesSource }) => {
    const { Type, Name, Source, Destination, RW, Propagation } = point;
    if (Type !== 'bind' && Type !== 'volume') return [];
    return [
      {
        type: Type,
        source: Type === 'volume' ? (Name ?? '') : Source,
        destination: Destination,
        readOnly: isReadOnly || !RW,
        mode,
        propagation: Type === 'bind' ? Propagation : '',
        noCopy: true,
        ...(makesSource ? { makesSource } : {}),
        ...(part ? { subPath: part.path } : {}),
      },
    ];
  });
}

function list(name: string, value: unknown): unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw badMount(`invalid ${name}: it must be a list`);
  return value;
}

function texts(name: string, value: unknown): string[] {
  const all = list(name, value);
  if (!all.every(each => typeof each === 'string')) throw badMount(`invalid ${name}: it must be a list of strings`);
  return all as string[];
}

function tmpfsOf(value: unknown): MountSpec[] {
  if (value === undefined || value === null) return [];
  if (!isObject(value)) throw badMount('invalid Tmpfs: it must be an object of strings');
  return Object.entries(value).map(([destination, options]) => {
    if (typeof options !== 'string') throw badMount('invalid Tmpfs: it must be an object of strings');
    return parseTmpfs(destination, options);
  });
}
