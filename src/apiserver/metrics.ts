import type { Context } from './request.ts';
import type { Resources } from './resources.ts';

/** Upper bounds of the latency buckets, in seconds. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

interface Series {
  count: number;
  sumSeconds: number;
  buckets: number[];
}

/** One number, or one for each set of labels. */
export type Gauge = [name: string, help: string, values: number | [labels: string, value: number][]];

/** What `/metrics` shows, in Prometheus' text form under the names that dashboards for Kubernetes know. */
export class Metrics {
  readonly #requests = new Map<string, number>();
  readonly #latencies = new Map<string, Series>();
  readonly #gauges: () => Gauge[];
  readonly #resources: Resources;

  constructor(resources: Resources, gauges: () => Gauge[]) {
    this.#resources = resources;
    this.#gauges = gauges;
  }

  observe({ route, request }: Context, code: number, ms: number): void {
    if (route.type === 'path') {
      this.#count(`verb="${request.method}",group="",version="",resource="",subresource="",code="${code}"`);
      return;
    }
    const { served, verb, subresource } = route;
    const { group, version, plural } = served.resource;
    const labels = `verb="${verb.toUpperCase()}",group="${group}",version="${version}",resource="${plural}",subresource="${subresource}"`;
    this.#count(`${labels},code="${code}"`);
    if (verb === 'watch') return;
    this.#time(labels, ms / 1000);
  }

  observeFailure(method: string, code: number, _ms: number): void {
    this.#count(`verb="${/^[A-Z]{1,10}$/.test(method) ? method : 'OTHER'}",group="",version="",resource="",subresource="",code="${code}"`);
  }

  text(): string {
    const lines = ['# HELP apiserver_request_total Requests by verb, resource and code.', '# TYPE apiserver_request_total counter'];
    for (const [labels, count] of this.#requests) lines.push(`apiserver_request_total{${labels}} ${count}`);
    lines.push(
      '# HELP apiserver_request_duration_seconds Time until a request was answered.',
      '# TYPE apiserver_request_duration_seconds histogram',
    );
    for (const [labels, { count, sumSeconds, buckets }] of this.#latencies) {
      for (const [i, bound] of BUCKETS.entries())
        lines.push(`apiserver_request_duration_seconds_bucket{${labels},le="${bound}"} ${buckets[i]}`);
      lines.push(`apiserver_request_duration_seconds_bucket{${labels},le="+Inf"} ${count}`);
      lines.push(
        `apiserver_request_duration_seconds_sum{${labels}} ${sumSeconds}`,
        `apiserver_request_duration_seconds_count{${labels}} ${count}`,
      );
    }
    lines.push('# HELP apiserver_storage_objects Objects stored, by resource.', '# TYPE apiserver_storage_objects gauge');
    lines.push('# HELP apiserver_longrunning_requests Watches that are open, by resource.', '# TYPE apiserver_longrunning_requests gauge');
    const shown = new Set<unknown>(); // versions share their objects
    for (const { resource, cache, conversion } of this.#resources.all) {
      if (!cache || conversion || shown.has(cache)) continue;
      shown.add(cache);
      const name = resource.group ? `${resource.plural}.${resource.group}` : resource.plural;
      lines.push(
        `apiserver_storage_objects{resource="${name}"} ${cache.size}`,
        `apiserver_longrunning_requests{verb="WATCH",resource="${name}"} ${cache.watcherCount}`,
      );
    }
    for (const [name, help, values] of this.#gauges()) {
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} gauge`);
      if (typeof values === 'number') lines.push(`${name} ${values}`);
      else for (const [labels, value] of values) lines.push(`${name}{${labels}} ${value}`);
    }
    return `${lines.join('\n')}\n`;
  }

  #count(labels: string): void {
    this.#requests.set(labels, (this.#requests.get(labels) ?? 0) + 1);
  }

  #time(labels: string, seconds: number): void {
    let series = this.#latencies.get(labels);
    if (!series) {
      series = { count: 0, sumSeconds: 0, buckets: BUCKETS.map(() => 0) };
      this.#latencies.set(labels, series);
    }
    series.count++;
    series.sumSeconds += seconds;
    for (let i = BUCKETS.length - 1; i >= 0 && seconds <= BUCKETS[i]!; i--) series.buckets[i]!++;
  }
}
