import { UmiakError } from '#base/index.ts';
import type { Container, LogOptions } from '#engine/engine.ts';
import type { Pod } from '#kinds/pod.ts';
import { instancesOf } from './plan-pod.ts';

/** What a request for logs asks of the engine. Pure. @throws `BadRequest` naming what can't be read */
export function readLogQuery(query: URLSearchParams, nowMs: number): LogOptions {
  const tailLines = wholeNumber(query, 'tailLines', 0);
  const limitBytes = wholeNumber(query, 'limitBytes', 1);
  const sinceMs = since(query, nowMs);
  return {
    follow: isTrue(query.get('follow')),
    timestamps: isTrue(query.get('timestamps')),
    stream: streamOf(query.get('stream')),
    ...(tailLines === undefined ? {} : { tailLines }),
    ...(limitBytes === undefined ? {} : { limitBytes }),
    ...(sinceMs === undefined ? {} : { sinceMs }),
  };
}

/** As Kubernetes reads booleans of a query: there without a value is true. */
export function isTrue(value: string | null): boolean {
  return value !== null && value !== '0' && value.toLowerCase() !== 'false';
}

/**
 * The instance whose log is asked for: the newest that ran, or with `previous` the one before. While a container waits for its restart
 * the dead instance is both, as with the kubelet. Pure.
 * @throws `NotFound`, `BadRequest` in the kubelet's words
 */
export function chooseLogs(pod: Pod, containers: readonly Container[], name: string, previous: boolean): Container {
  requireContainer(pod, name);
  const { name: podName } = pod.metadata;
  const instances = instancesOf(containers, name).filter(({ startedAtMs }) => startedAtMs !== undefined);
  const waiting = statusOf(pod, name)?.state?.waiting;
  const [newest, before] = instances;
  const found = previous ? (newest?.state === 'exited' && waiting ? newest : before) : newest;
  if (found) return found;
  if (previous) throw new UmiakError('BadRequest', `previous terminated container ${quote(name)} in pod ${quote(podName)} not found`);
  throw new UmiakError(
    'BadRequest',
    `container ${quote(name)} in pod ${quote(podName)} is waiting to start: ${whyWaiting(waiting?.reason)}`,
  );
}

/** The running instance to enter. Pure. @throws `NotFound` in the kubelet's words */
export function chooseRunning(containers: readonly Container[], name: string): Container {
  const running = instancesOf(containers, name).find(({ state }) => state === 'running');
  if (!running) throw new UmiakError('NotFound', `container not found (${quote(name)})`, { details: { kind: 'container', name } });
  return running;
}

function requireContainer({ spec, metadata }: Pod, name: string): void {
  const all = [...(spec.initContainers ?? []), ...spec.containers, ...(spec.ephemeralContainers ?? [])];
  if (all.some(container => container.name === name)) return;
  throw new UmiakError('NotFound', `container ${quote(name)} not found in pod ${quote(metadata.name)}`);
}

function statusOf({ status }: Pod, name: string) {
  return [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])].find(each => each.name === name);
}

function whyWaiting(reason = 'ContainerCreating'): string {
  if (reason === 'ErrImagePull') return "image can't be pulled";
  return reason === 'ImagePullBackOff' ? 'trying and failing to pull image' : reason;
}

function wholeNumber(query: URLSearchParams, name: string, least: number): number | undefined {
  const value = query.get(name);
  if (value === null || value === '') return undefined;
  const number = Number(value);
  if (!/^\d+$/.test(value) || number < least || !Number.isSafeInteger(number))
    throw new UmiakError('BadRequest', `${name}: ${quote(value)} is no whole number of at least ${least}`);
  return number;
}

function since(query: URLSearchParams, nowMs: number): number | undefined {
  const seconds = wholeNumber(query, 'sinceSeconds', 1);
  const time = query.get('sinceTime');
  if (seconds !== undefined) return nowMs - seconds * 1000;
  if (!time) return undefined;
  const sinceMs = Date.parse(time);
  if (Number.isNaN(sinceMs)) throw new UmiakError('BadRequest', `sinceTime: ${quote(time)} is no RFC 3339 time`);
  return sinceMs;
}

function streamOf(stream: string | null): 'all' | 'stdout' | 'stderr' {
  if (stream === null || stream === 'All') return 'all';
  if (stream === 'Stdout' || stream === 'Stderr') return stream === 'Stdout' ? 'stdout' : 'stderr';
  throw new UmiakError('BadRequest', `stream: ${quote(stream)} is none of "All", "Stdout", "Stderr"`);
}

function quote(text: string): string {
  return JSON.stringify(text);
}
