import { UmiakError } from '#base/errors.ts';
import { isObject } from '#base/json-object.ts';
import { type Filters, flagFilter, hasLabel, parseFilters } from '../filters.ts';
import type { VolumeWishes } from './mount-preparation.ts';
import { ANONYMOUS_LABEL } from './plan-mounts.ts';
import type { VolumeRecord } from './volume-store.ts';

/** A volume in docker's form. */
export interface VolumeForm {
  CreatedAt: string;
  Driver: string;
  Labels: Record<string, string> | null;
  Mountpoint: string;
  Name: string;
  Options: Record<string, string> | null;
  Scope: string;
  UsageData?: { Size: number; RefCount: number };
}

/** A record as docker tells of it. Pure. */
export function toVolume({ name, createdAtMs, labels, options }: VolumeRecord, mountpoint: string): VolumeForm {
  const orNull = (map: Record<string, string>) => (Object.keys(map).length > 0 ? map : null);
  return {
    CreatedAt: new Date(createdAtMs).toISOString().replace(/\.\d+Z$/, 'Z'),
    Driver: 'local',
    Labels: orNull(labels),
    Mountpoint: mountpoint,
    Name: name,
    Options: orNull(options),
    Scope: 'local',
  };
}

/** Reads the body of `POST /volumes/create`. @throws BadRequest naming the field */
export function parseVolumeWishes(body: unknown): VolumeWishes {
  if (!isObject(body)) throw new UmiakError('BadRequest', 'invalid JSON: the body must be an object');
  if (body.ClusterVolumeSpec !== undefined && body.ClusterVolumeSpec !== null)
    throw new UmiakError('NotImplemented', 'cluster volumes need swarm, which umiak does not have');
  return {
    name: text(body.Name, 'Name'),
    driver: text(body.Driver, 'Driver'),
    options: texts(body.DriverOpts, 'DriverOpts'),
    labels: texts(body.Labels, 'Labels'),
  };
}

function text(value: unknown, field: string): string {
  if (value === undefined || value === null) return '';
  if (typeof value === 'string') return value;
  throw new UmiakError('BadRequest', `invalid JSON: ${field} must be a string`);
}

function texts(value: unknown, field: string): Record<string, string> {
  if (value === undefined || value === null) return {};
  if (isObject(value) && Object.values(value).every(each => typeof each === 'string')) return { ...value } as Record<string, string>;
  throw new UmiakError('BadRequest', `invalid JSON: ${field} must be an object of strings`);
}

/** Which volumes `docker volume ls` shows. Pure. @throws BadRequest */
export function planVolumeFilter(query: string | null, isUsed: (name: string) => boolean): (record: VolumeRecord) => boolean {
  const filters = parseFilters(query, ['dangling', 'driver', 'label', 'name']);
  const dangling = flagFilter(filters, 'dangling');
  const drivers = filters.get('driver') ?? [];
  const names = filters.get('name') ?? [];
  return record =>
    (dangling === undefined || isUsed(record.name) !== dangling) &&
    (drivers.length === 0 || drivers.includes('local')) &&
    (names.length === 0 || names.some(name => record.name.includes(name))) &&
    hasLabels(record, filters);
}

/** What is mounted as options say takes nothing here that docker would count, or free by itself. Pure. */
export function isPlain({ options }: VolumeRecord): boolean {
  return Object.keys(options).length === 0;
}

/** Which unused volumes `docker volume prune` takes: plain ones without a name, since 1.42 others only with `all`. Pure. @throws BadRequest */
export function planPruneFilter(query: string | null, apiMinor: number): (record: VolumeRecord) => boolean {
  const filters = parseFilters(query, ['label', 'label!', ...(apiMinor >= 42 ? ['all'] : [])]);
  const isAll = apiMinor < 42 || (flagFilter(filters, 'all') ?? false);
  return record =>
    isPlain(record) &&
    (isAll || record.isAnonymous === true || Object.hasOwn(record.labels, ANONYMOUS_LABEL)) &&
    hasLabels(record, filters);
}

function hasLabels({ labels }: VolumeRecord, filters: Filters): boolean {
  const wanted = filters.get('label') ?? [];
  const unwanted = filters.get('label!') ?? [];
  return wanted.every(label => hasLabel(labels, label)) && !unwanted.some(label => hasLabel(labels, label));
}
