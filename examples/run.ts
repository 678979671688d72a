/**
 * What `make run` calls once the platform is up: makes the example's images where they are absent, applies its manifests, waits until
 * the shop answers through all its tiers, and says how to reach it; the last line is its address alone. A second run changes nothing.
 * The instance is the one that the UMIAK_* variables name.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { isUmiakError, messageOf, UmiakError } from '#base/errors.ts';
import { applyObjects } from '#cli/apply.ts';
import { type Cluster, connectCluster } from '#cli/cluster.ts';
import { DockerClient } from '#cli/docker-client.ts';
import { listPods } from '#cli/ps.ts';
import { painter, processStreams } from '#cli/terminal.ts';
import { printWhy } from '#cli/why-command.ts';
import { Deployment } from '#kinds/deployment.ts';
import type { KubeObject } from '#kinds/kind.ts';
import { Pod } from '#kinds/pod.ts';
import { isPodReady } from '#kinds/pod-template.ts';
import type { Service } from '#kinds/service.ts';
import { type Config, pathsOf, readConfig } from '#main/config.ts';

const ROOT = join(import.meta.dirname, '..');
const EXAMPLE = join(import.meta.dirname, 'shop');
const IMAGES = ['redis', 'api', 'web'] as const;
const NAMESPACE = 'shop';
const READY_MS = 120_000;
/** Where the shop's node port lies in the range; in the default one it is 30080, as the manifests say. */
const NODE_PORT_OFFSET = 80;

const streams = processStreams();
const paint = painter(streams.stdout, streams.env);

/** Calls `bin/umiak`; what it says is seen. @throws when it fails */
async function umiak(...args: string[]): Promise<void> {
  const child = spawn(join(ROOT, 'bin', 'umiak'), args, { stdio: 'inherit' });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new UmiakError('InternalError', `umiak ${args.join(' ')} failed`);
}

function step(text: string): void {
  streams.stdout.write(`${paint('bold', '==>')} ${text}\n`);
}

async function makeImages({ dataDir, runDir }: Config): Promise<void> {
  const docker = new DockerClient(pathsOf({ dataDir, runDir }).dockerSocket);
  for (const name of IMAGES) {
    const file = join(EXAMPLE, 'images', `${name}.yaml`);
    const image = /^name: (.*)$/m.exec(await readFile(file, 'utf8'))?.[1] ?? '';
    if (await hasImage(docker, image)) continue;
    step(`assembling ${image} from Debian packages`);
    await umiak('image', 'assemble', file, '--lock', join(dataDir, 'examples', 'shop', `${name}.yaml.lock`));
  }
}

async function hasImage(docker: DockerClient, image: string): Promise<boolean> {
  try {
    await docker.json('GET', `/images/${encodeURIComponent(image)}/json`);
    return true;
  } catch (error) {
    if (isUmiakError(error, 'NotFound')) return false;
    throw error;
  }
}

/** The manifests, their node port moved with the instance's range. */
async function readManifests(nodePort: number): Promise<KubeObject[]> {
  const text = await readFile(join(EXAMPLE, 'manifests.yaml'), 'utf8');
  const objects = parseAllDocuments(text).map(document => document.toJS() as KubeObject);
  for (const object of objects)
    if (object.kind === 'Service') for (const port of (object as Service).spec.ports ?? []) if (port.nodePort) port.nodePort = nodePort;
  return objects;
}

/** Resolves when every Deployment of the example has all its replicas, of its newest template. */
async function untilAvailable({ client }: Cluster, signal: AbortSignal): Promise<void> {
  const done = new Map<string, boolean>();
  let isComplete = false;
  for await (const event of client.watch(Deployment, { namespace: NAMESPACE }, signal)) {
    if (event.type === 'BOOKMARK') isComplete = true;
    else if (event.type === 'DELETED') done.delete(event.object.metadata.name);
    else done.set(event.object.metadata.name, isAvailable(event.object));
    if (isComplete && [...done.values()].every(Boolean)) return;
  }
  throw new UmiakError('Timeout', `the shop was not ready within ${READY_MS / 1000} s`, { hint: 'What holds it up is explained above.' });
}

function isAvailable({ metadata, spec, status = {} }: Deployment): boolean {
  const { observedGeneration = 0, replicas = 0, updatedReplicas = 0, availableReplicas = 0 } = status;
  const wanted = spec.replicas ?? 1;
  return observedGeneration >= (metadata.generation ?? 0) && [replicas, updatedReplicas, availableReplicas].every(each => each === wanted);
}

async function explain(cluster: Cluster): Promise<void> {
  const { items } = await cluster.client.list(Pod, { namespace: NAMESPACE });
  for (const pod of items)
    if (!isPodReady(pod))
      await printWhy(cluster, streams, { kind: 'pod', name: pod.metadata.name, namespace: NAMESPACE, form: 'text', nowMs: Date.now() });
}

/** The answer of a request through nginx, the API and Redis. What the rules of a fresh Service need a moment for is asked again. */
async function askShop(address: string): Promise<string> {
  const deadline = AbortSignal.timeout(15_000);
  for (let waitMs = 20; ; waitMs = Math.min(waitMs * 2, 500)) {
    try {
      const response = await fetch(`${address}/api/products`, { signal: deadline });
      const text = await response.text();
      if (response.ok) return text.trim();
      if (deadline.aborted || response.status < 500)
        throw new UmiakError('ServiceUnavailable', `the shop answered ${response.status}: ${text.trim()}`);
    } catch (error) {
      if (isUmiakError(error)) throw error;
      if (deadline.aborted) throw new UmiakError('Timeout', `${address} does not answer: ${messageOf(error)}`, { cause: error });
    }
    await new Promise(resolve => setTimeout(resolve, waitMs));
  }
}

async function run(): Promise<void> {
  const config = await readConfig({});
  const { first, last } = config.nodePortRange;
  const nodePort = Math.min(first + NODE_PORT_OFFSET, last);
  const address = `http://127.0.0.1:${nodePort}`;
  await makeImages(config);
  await using cluster = await connectCluster(pathsOf(config).kubeconfig);
  step('applying examples/shop/manifests.yaml');
  for (const { name, outcome } of await applyObjects(cluster.client, await readManifests(nodePort)))
    streams.stdout.write(`${name} ${outcome}\n`);
  step('waiting for the shop');
  await untilAvailable(cluster, AbortSignal.timeout(READY_MS)).catch(async error => {
    await explain(cluster);
    throw error;
  });
  const answer = await askShop(address);
  await listPods(cluster, streams, { form: 'text', namespace: NAMESPACE, nowMs: Date.now() });
  streams.stdout.write(`
GET ${address}/api/products, through nginx, the API and Redis:
${answer}

  eval "$(${join(ROOT, 'bin', 'umiak')} env)"   then kubectl, helm and docker find it
  ${join(ROOT, 'bin', 'umiak')} ps | logs | exec | why | status
  make stop                     ends all of it

${address}
`);
}

try {
  await run();
} catch (error) {
  streams.stderr.write(`${messageOf(error)}${isUmiakError(error) && error.hint ? `\n${error.hint}` : ''}\n`);
  process.exitCode = 1;
}
