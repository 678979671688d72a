import type { FieldCause } from '#base/errors.ts';
import { type Cell, defineKind } from './define-kind.ts';
import { ageOf } from './duration.ts';
import type { Kind, KubeObject } from './kind.ts';
import type * as types from './types.gen.ts';
import { invalid } from './validation.ts';

const cells: Record<string, Cell<types.Event>> = {
  'Last Seen': lastSeen,
  Type: ({ type }) => type ?? '',
  Reason: ({ reason }) => reason ?? '',
  Object: ({ involvedObject: { kind = '', name } }) => (name ? `${kind.toLowerCase()}/${name}` : kind.toLowerCase()),
  Subobject: ({ involvedObject }) => involvedObject.fieldPath ?? '',
  Source: ({ source, reportingComponent, reportingInstance }) =>
    [source?.component || reportingComponent, source?.host || reportingInstance].filter(Boolean).join(', '),
  Message: ({ message }) => message?.trim() ?? '',
  'First Seen': firstSeen,
  Count: ({ series, count }) => String(series?.count ?? (count || 1)),
};

/** Something that happened to an object. */
export const Event: Kind<types.Event> = defineKind<types.Event>('v1/Event', {
  validate({ metadata, involvedObject }) {
    const causes: FieldCause[] = [];
    const about = involvedObject.namespace ?? '';
    const fits = about === '' ? metadata.namespace === 'default' || metadata.namespace === 'kube-system' : about === metadata.namespace;
    if (!fits) causes.push(invalid('involvedObject.namespace', about, 'does not match event.namespace'));
    return causes;
  },
  cells,
  selectableFields: {
    'involvedObject.kind': ({ involvedObject }) => involvedObject.kind ?? '',
    'involvedObject.namespace': ({ involvedObject }) => involvedObject.namespace ?? '',
    'involvedObject.name': ({ involvedObject }) => involvedObject.name ?? '',
    'involvedObject.uid': ({ involvedObject }) => involvedObject.uid ?? '',
    'involvedObject.apiVersion': ({ involvedObject }) => involvedObject.apiVersion ?? '',
    'involvedObject.resourceVersion': ({ involvedObject }) => involvedObject.resourceVersion ?? '',
    'involvedObject.fieldPath': ({ involvedObject }) => involvedObject.fieldPath ?? '',
    reason: ({ reason }) => reason ?? '',
    reportingComponent: ({ reportingComponent }) => reportingComponent ?? '',
    source: ({ source, reportingComponent }) => source?.component || reportingComponent || '',
    type: ({ type }) => type ?? '',
  },
});
export type Event = types.Event;

/** The newer face of the same events: kept as core Events. */
export const EventsV1Event: Kind<types.EventsV1Event> = defineKind<types.EventsV1Event>('events.k8s.io/v1/Event', {
  storage: { kind: Event, toStored, fromStored },
  validate({ metadata, regarding = {}, eventTime, reportingController, reportingInstance, action, reason, series, note = '' }) {
    const causes: FieldCause[] = [];
    const about = regarding.namespace || 'default';
    if (about !== metadata.namespace && metadata.namespace !== 'kube-system')
      causes.push(invalid('regarding.namespace', regarding.namespace ?? '', 'does not match event.namespace'));
    if (series && series.count < 2) causes.push(invalid('series.count', series.count, 'should be at least 2'));
    if (Buffer.byteLength(note) > 1024) causes.push(invalid('note', `${note.slice(0, 32)}…`, 'can have at most 1024 bytes'));
    // What older clients write by conversion has no event time, and is held to the old rules.
    if (!eventTime) return causes;
    for (const [field, value] of Object.entries({ reportingController, reportingInstance, action, reason }))
      if (!value) causes.push({ reason: 'FieldValueRequired', message: 'Required value', field });
    return causes;
  },
  cells: Object.fromEntries(
    Object.entries(cells).map(([name, cell]): [string, Cell<types.EventsV1Event>] => [
      name,
      (event, nowMs) => cell(toStored(event), nowMs),
    ]),
  ),
  selectableFields: {
    'regarding.kind': ({ regarding }) => regarding?.kind ?? '',
    'regarding.namespace': ({ regarding }) => regarding?.namespace ?? '',
    'regarding.name': ({ regarding }) => regarding?.name ?? '',
    'regarding.uid': ({ regarding }) => regarding?.uid ?? '',
    reason: ({ reason }) => reason ?? '',
    reportingController: ({ reportingController }) => reportingController ?? '',
    type: ({ type }) => type ?? '',
  },
});
export type EventsV1Event = types.EventsV1Event;

function toStored(event: types.EventsV1Event): types.Event {
  const { regarding, note, reportingController, eventTime, series, ...rest } = event;
  const { deprecatedSource, deprecatedFirstTimestamp, deprecatedLastTimestamp, deprecatedCount, apiVersion: _, ...same } = rest;
  return pruned({
    ...same,
    apiVersion: 'v1',
    eventTime: eventTime || undefined,
    involvedObject: regarding ?? {},
    message: note,
    reportingComponent: reportingController,
    source: deprecatedSource,
    firstTimestamp: deprecatedFirstTimestamp,
    lastTimestamp: deprecatedLastTimestamp,
    count: deprecatedCount,
    series,
  });
}

function fromStored(stored: KubeObject): types.EventsV1Event {
  const { involvedObject, message, reportingComponent, eventTime, series, ...rest } = stored as types.Event;
  const { source, firstTimestamp, lastTimestamp, count, apiVersion: _, ...same } = rest;
  return pruned({
    ...same,
    apiVersion: 'events.k8s.io/v1',
    // Go writes an absent time as null here; a client that reads types gets none.
    eventTime: eventTime as string,
    regarding: involvedObject,
    note: message,
    reportingController: reportingComponent,
    deprecatedSource: source,
    deprecatedFirstTimestamp: firstTimestamp,
    deprecatedLastTimestamp: lastTimestamp,
    deprecatedCount: count,
    series: series && { count: series.count ?? 0, lastObservedTime: series.lastObservedTime ?? '' },
  });
}

/** The object without properties that are `undefined`. */
function pruned<T extends object>(object: T): T {
  for (const key of Object.keys(object) as (keyof T)[]) if (object[key] === undefined) delete object[key];
  return object;
}

function firstSeen({ firstTimestamp, eventTime }: types.Event, nowMs: number): string {
  return ageOf(firstTimestamp || eventTime, nowMs);
}

function lastSeen(event: types.Event, nowMs: number): string {
  const last = event.series?.lastObservedTime ?? event.lastTimestamp;
  return last ? ageOf(last, nowMs) : firstSeen(event, nowMs);
}
