import { UmiakError } from '#base/errors.ts';
import { type Filters, flagFilter, hasLabel, parseFilters, toMoment } from '../filters.ts';
import { FIXED_NAMES, type NetworkRecord } from './network-record.ts';

/** Which networks a list shows. Pure. @throws BadRequest */
export function planNetworkFilter(text: string | null, isUsed: (record: NetworkRecord) => boolean): (record: NetworkRecord) => boolean {
  const filters = parseFilters(text, ['dangling', 'driver', 'id', 'label', 'name', 'scope', 'type']);
  const dangling = flagFilter(filters, 'dangling');
  const type = filters.get('type') ?? [];
  for (const each of type)
    if (each !== 'custom' && each !== 'builtin') throw new UmiakError('BadRequest', `invalid filter: 'type'='${each}'`);
  const any = (name: string, fits: (wanted: string) => boolean) => {
    const wanted = filters.get(name);
    return !wanted || wanted.length === 0 || wanted.some(fits);
  };
  return record =>
    any('driver', driver => driver === record.driver) &&
    any('id', id => record.id.includes(id)) &&
    any('name', name => matches(record.name, name)) &&
    any('scope', scope => scope === 'local') &&
    any('type', kind => (kind === 'builtin') === isFixed(record)) &&
    hasLabels(record, filters) &&
    (dangling === undefined || dangling === (!isFixed(record) && !isUsed(record)));
}

/** Which networks a prune takes: `until` and labels, `label!` those that have them not. Pure. @throws BadRequest */
export function planNetworkPrune(text: string | null, nowMs: number): (record: NetworkRecord) => boolean {
  const filters = parseFilters(text, ['label', 'label!', 'until']);
  const until = filters.get('until') ?? [];
  if (until.length > 1) throw new UmiakError('BadRequest', 'more than one until filter specified');
  const before = until[0] === undefined ? Number.POSITIVE_INFINITY : toMoment(until[0], nowMs);
  return record =>
    record.createdAtMs <= before &&
    hasLabels(record, filters) &&
    !(filters.get('label!') ?? []).some(label => hasLabel(record.labels, label));
}

export function isFixed({ name }: Pick<NetworkRecord, 'name'>): boolean {
  return (FIXED_NAMES as readonly string[]).includes(name);
}

function hasLabels({ labels }: NetworkRecord, filters: Filters): boolean {
  return (filters.get('label') ?? []).every(label => hasLabel(labels, label));
}

/** A part of the name, or an expression for it, as docker's clients write `^web$`. */
function matches(name: string, wanted: string): boolean {
  const anchored = /^(\^?)([^\\^$.|?*+()[\]{}]*)(\$?)$/.exec(wanted);
  if (!anchored) return name === wanted || name.includes(wanted);
  const [, start, text = '', end] = anchored;
  if (start && end) return name === text;
  return start ? name.startsWith(text) : end ? name.endsWith(text) : name.includes(text);
}
