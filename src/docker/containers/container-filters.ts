import { UmiakError } from '#base/errors.ts';
import { type Filters, flagFilter, hasLabel, toMoment } from '../filters.ts';
import type { DockerContainer } from '../rooms.ts';
import type { Health, Port } from './forms.ts';
import type { Matches } from './name-patterns.ts';
import type { Status } from './state-words.ts';

export const LIST_FILTERS = [
  'ancestor',
  'before',
  'since',
  'exited',
  'expose',
  'publish',
  'health',
  'id',
  'is-task',
  'isolation',
  'label',
  'label!',
  'name',
  'network',
  'status',
  'volume',
] as const;

export const PRUNE_FILTERS = ['until', 'label', 'label!'] as const;

const STATUSES: readonly string[] = ['created', 'running', 'paused', 'restarting', 'removing', 'exited', 'dead'] satisfies Status[];

/** What is looked up of a container, where a filter asks for it. */
export interface FilterFacts {
  statusOf: (container: DockerContainer) => Status;
  healthOf: (container: DockerContainer) => Health['Status'];
  portsOf: (container: DockerContainer) => readonly Port[];
  /** Names and ids of its networks. */
  networksOf: (container: DockerContainer) => readonly string[];
  /** When a container that a filter names was made. @throws NotFound */
  createdOf: (reference: string) => number;
  /** Ids of the images that a filter's value means, with those made from them. */
  imagesOf: (reference: string) => ReadonlySet<string>;
  /** Whether a text has what an expression says. */
  matches: Matches;
}

type Test = (container: DockerContainer) => boolean;

/** Whether a container passes all filters: of the values of one it must fit any, of labels all. Pure. @throws BadRequest, NotFound */
export function planContainerFilter(filters: Filters, facts: FilterFacts): Test {
  const tests: Test[] = [];
  const anyOf = (name: string, fits: (container: DockerContainer, value: string) => boolean) => {
    const values = filters.get(name) ?? [];
    if (values.length > 0) tests.push(container => values.some(value => fits(container, value)));
  };
  anyOf('id', ({ id }, value) => id.startsWith(value) || facts.matches(value, id));
  anyOf('name', ({ name }, value) => facts.matches(value, `/${name}`) || facts.matches(value, name));
  for (const value of filters.get('label') ?? []) tests.push(({ data }) => hasLabel(data.config.Labels, value));
  for (const value of filters.get('label!') ?? []) tests.push(({ data }) => !hasLabel(data.config.Labels, value));
  const codes = (filters.get('exited') ?? []).map(toExitCode);
  if (codes.length > 0)
    tests.push(({ engine }) => engine.state !== 'running' && engine.startedAtMs !== undefined && codes.includes(engine.exitCode ?? 0));
  for (const value of filters.get('status') ?? []) if (!STATUSES.includes(value)) throw invalid('status', value);
  anyOf('status', (container, value) => facts.statusOf(container) === value);
  for (const value of filters.get('health') ?? [])
    if (!['none', 'starting', 'healthy', 'unhealthy'].includes(value)) throw invalid('health', value);
  anyOf('health', (container, value) => facts.healthOf(container) === value);
  const images = (filters.get('ancestor') ?? []).map(facts.imagesOf);
  if (images.length > 0) tests.push(({ engine }) => images.some(ids => ids.has(engine.imageId)));
  for (const value of filters.get('before') ?? []) {
    const limit = facts.createdOf(value);
    tests.push(({ engine }) => engine.createdAtMs < limit);
  }
  for (const value of filters.get('since') ?? []) {
    const limit = facts.createdOf(value);
    tests.push(({ engine }) => engine.createdAtMs > limit);
  }
  anyOf('volume', ({ data }, value) => data.mounts.some(({ point }) => [point.Name, point.Source, point.Destination].includes(value)));
  anyOf('network', (container, value) => facts.networksOf(container).some(name => name === value || isShortId(name, value)));
  const published = (filters.get('publish') ?? []).map(toPorts);
  if (published.length > 0)
    tests.push(container => {
      const ports = facts.portsOf(container);
      return published.some(wanted => ports.some(port => port.PublicPort !== undefined && covers(wanted, port.PublicPort, port.Type)));
    });
  const exposed = (filters.get('expose') ?? []).map(toPorts);
  if (exposed.length > 0)
    tests.push(({ data }) =>
      exposed.some(wanted => exposedPorts(data.config.ExposedPorts).some(([number, protocol]) => covers(wanted, number, protocol))),
    );
  for (const value of filters.get('isolation') ?? []) if (value !== 'default' && value !== '') tests.push(() => false);
  if (flagFilter(filters, 'is-task')) tests.push(() => false);
  return container => tests.every(passes => passes(container));
}

function isShortId(id: string, value: string): boolean {
  return /^[0-9a-f]{12,63}$/.test(value) && /^[0-9a-f]{64}$/.test(id) && id.startsWith(value);
}

function toExitCode(value: string): number {
  if (!/^-?\d{1,5}$/.test(value)) throw invalid('exited', value);
  return Number(value);
}

interface PortRange {
  first: number;
  last: number;
  protocol: string | undefined;
}

/** `80`, `80/udp`, `8000-8080/tcp`; without a protocol tcp, as docker reads them. */
function toPorts(value: string): PortRange {
  const [, from = '', to = from, protocol = 'tcp'] = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(\w+))?$/.exec(value) ?? [];
  if (from === '') throw new UmiakError('BadRequest', `invalid publish or expose filter: ${value.slice(0, 64)}`);
  return { first: Number(from), last: Number(to), protocol };
}

function covers({ first, last, protocol }: PortRange, port: number, type: string): boolean {
  return port >= first && port <= last && protocol === type;
}

function exposedPorts(exposed: Record<string, object> = {}): [number: number, protocol: string][] {
  return Object.keys(exposed).map(key => {
    const [number = '', protocol = 'tcp'] = key.split('/');
    return [Number(number), protocol];
  });
}

function invalid(name: string, value: string): UmiakError {
  return new UmiakError('BadRequest', `invalid filter '${name}=${value.slice(0, 64)}'`);
}

/** Of `prune`: what does not run, by age and labels. Pure. @throws BadRequest */
export function planPruneFilter(filters: Filters, nowMs: number): Test {
  const until = filters.get('until') ?? [];
  if (until.length > 1) throw new UmiakError('BadRequest', 'more than one until filter specified');
  const limit = until[0] === undefined ? Number.POSITIVE_INFINITY : toMoment(until[0], nowMs);
  const has = filters.get('label') ?? [];
  const hasNot = filters.get('label!') ?? [];
  return ({ data, engine }) =>
    engine.createdAtMs < limit &&
    has.every(label => hasLabel(data.config.Labels, label)) &&
    !hasNot.some(label => hasLabel(data.config.Labels, label));
}
