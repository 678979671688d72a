/**
 * `make conformance`: runs Kubernetes' own `[Conformance]` specs against an instance started for them.
 *
 *   make conformance [AREA=node,network] [FOCUS='ConfigMap'] [SKIP='…'] [LIST=1] [LIMIT=600] [PARALLEL=1] [RESULTS=results]
 *
 * The suite's program and the images' programs are built from the published Go module, once; everything made is in `.cache/conformance`.
 * Each spec runs in a process of its own: one that crashes or hangs costs only itself. Results by area are printed, and what did not pass
 * stands in `.cache/conformance/$RESULTS/failures.txt` beside each spec's log. Ends with 1 when a spec failed.
 * Interrupted, it ends what runs, takes its instance down and prints what there is.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TestCluster } from '../tests/cluster.ts';
import { serveRegistry } from '../tests/registry.ts';
import { buildSuite } from './build.ts';
import { PULLS, serveImages, serveRegistryImages } from './images.ts';
import { cache, root } from './places.ts';
import { formatFailures, formatSummary, type Result } from './report.ts';
import { chooseSpecs, type Spec } from './specs.ts';
import { listImages, listSpecs, runSpec, type SuiteOptions } from './suite.ts';

const { FOCUS, SKIP, AREA, LIST, LIMIT = '600', PARALLEL = '1', RESULTS = 'results' } = process.env;
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
const { program, version } = await buildSuite();
const all = await listSpecs(program);
const chosen = chooseSpecs(all, { focus: FOCUS, skip: SKIP, area: AREA });
console.log(`${chosen.length} of the ${all.length} conformance specs of Kubernetes ${version}`);
if (LIST) for (const { name } of chosen) console.log(name);
else process.exitCode = (await runSpecs(chosen)).some(({ state }) => state === 'failed') ? 1 : 0;

async function runSpecs(specs: readonly Spec[]): Promise<Result[]> {
  const directory = join(cache, RESULTS);
  rmSync(directory, { recursive: true, force: true });
  await using cluster = await TestCluster.up();
  const images = await listImages(program);
  await serveImages(cluster, images);
  await using registry = specs.some(({ name }) => PULLS.test(name)) ? await serveRegistry(join(cluster.directory, 'registry')) : undefined;
  const environment = registry && (await serveRegistryImages(registry, images, cluster.directory));
  const options: SuiteOptions = {
    program,
    kubeconfig: cluster.kubeconfig,
    kubectl: join(root, '.bin/kubectl'),
    directory,
    limitSeconds: Number(LIMIT),
    signal: stop.signal,
  };
  const results: Result[] = [];
  const work = async (queue: Spec[]) => {
    for (let spec = queue.shift(); spec !== undefined; spec = queue.shift()) {
      const result: Result = stop.signal.aborted
        ? { spec, state: 'not run', seconds: 0, reason: 'stopped before' }
        : await runSpec(spec, specs.indexOf(spec) + 1, environment && PULLS.test(spec.name) ? { ...options, environment } : options);
      results.push(result);
      tell(result, results.length, specs.length);
      writeFileSync(join(directory, 'failures.txt'), formatFailures(results));
      writeFileSync(join(directory, 'summary.md'), formatSummary(results));
      if (result.state === 'failed') await removeLeftNamespaces(cluster);
    }
  };
  const together = specs.filter(({ isSerial }) => !isSerial);
  await Promise.all(Array.from({ length: Number(PARALLEL) }, () => work(together)));
  await work(specs.filter(({ isSerial }) => isSerial));
  console.log(`\n${formatSummary(results)}`);
  return results;
}

function tell({ spec, state, seconds, reason }: Result, done: number, of: number): void {
  const why = reason === '' ? '' : `\n    ${reason.slice(0, 300)}`;
  console.log(`${done}/${of} ${state} ${seconds.toFixed(0)} s ${spec.name}${why}`);
}

/** A spec that was killed leaves its namespaces; with several at a time the others still use theirs. */
async function removeLeftNamespaces(cluster: TestCluster): Promise<void> {
  if (PARALLEL !== '1') return;
  await cluster.tryKubectl('delete', 'namespace', '-l', 'e2e-framework', '--wait=false', '--ignore-not-found');
}
