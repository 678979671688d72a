import { UmiakError } from '#base/errors.ts';
import { type Filters, parseFilters } from '../filters.ts';
import type { DockerEvent, Moment } from './event.ts';

const NAMES = [
  'type',
  'event',
  'container',
  'image',
  'label',
  'network',
  'volume',
  'daemon',
  'plugin',
  'scope',
  'node',
  'service',
  'secret',
  'config',
  'builder',
] as const;

/** Objects that events are asked for by id or name, or the beginning of one. */
const ACTORS = ['container', 'network', 'volume', 'daemon', 'plugin', 'node', 'service', 'secret', 'config', 'builder'] as const;

/** Actions after whose name more follows: asked for by the name alone, all of them are meant. */
const PREFIXES = new Set(['health_status', 'exec_create', 'exec_start']);

/** Reads `filters` of `GET /events`. @throws BadRequest */
export function parseEventFilters(text: string | null): (event: DockerEvent) => boolean {
  return planEventFilter(parseFilters(text, NAMES));
}

/** Whether an event passes all filters; of the values of one it must fit any, of labels all. Pure. */
export function planEventFilter(filters: Filters): (event: DockerEvent) => boolean {
  const tests: ((event: DockerEvent) => boolean)[] = [];
  const on = (name: string, fits: (values: readonly string[], event: DockerEvent) => boolean) => {
    const values = filters.get(name);
    if (values && values.length > 0) tests.push(event => fits(values, event));
  };
  on('type', (values, { type }) => values.includes(type));
  on('scope', values => values.includes('local'));
  on('event', (values, { action }) =>
    values.some(value => PREFIXES.has(value)) ? values.some(value => action.startsWith(value)) : values.includes(action),
  );
  for (const type of ACTORS)
    on(
      type,
      (values, event) => event.type === type && values.some(value => begins(event.id, value) || begins(event.attributes.name, value)),
    );
  on('image', (values, event) => imageNamesOf(event).some(name => values.includes(name)));
  on('label', (values, { attributes }) => values.every(value => hasLabel(attributes, value)));
  return event => tests.every(passes => passes(event));
}

function begins(text: string | undefined, beginning: string): boolean {
  return text?.startsWith(beginning) ?? false;
}

/** What an image event is about, or the image of a container: whole, and without the tag. */
function imageNamesOf({ type, id, attributes }: DockerEvent): string[] {
  const name = type === 'image' ? attributes.name : attributes.image;
  return [id, name ?? ''].flatMap(each => [each, withoutTag(each)]).filter(Boolean);
}

function withoutTag(name: string): string {
  return name.startsWith('sha256:') ? name : name.replace(/(@[^/]*|:[^:/]*)$/, '');
}

function hasLabel(attributes: Readonly<Record<string, string>>, wanted: string): boolean {
  const [key = '', ...value] = wanted.split('=');
  return Object.hasOwn(attributes, key) && (value.length === 0 || attributes[key] === value.join('='));
}

/**
 * Reads `since` and `until`: seconds with a fraction of up to nine digits, as docker's client sends them, or RFC 3339; undefined for nothing.
 * @throws BadRequest
 */
export function parseMoment(name: string, text: string | null): Moment | undefined {
  if (text === null || text === '') return undefined;
  const plain = /^(\d{1,12})(?:\.(\d{1,9}))?$/.exec(text);
  if (plain) return { seconds: Number(plain[1]), nanos: nanosOf(plain[2]) };
  const time = /^(\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?$/.exec(text);
  const ms = time ? Date.parse(`${time[1]}${time[3] ?? 'Z'}`) : Number.NaN;
  if (Number.isNaN(ms) || ms < 0)
    throw new UmiakError(
      'BadRequest',
      `${name}: ${JSON.stringify(text.slice(0, 64))} is neither seconds since the epoch nor a time (RFC 3339)`,
    );
  return { seconds: ms / 1000, nanos: nanosOf(time?.[2]) };
}

function nanosOf(fraction = ''): number {
  return Number(fraction.padEnd(9, '0'));
}
