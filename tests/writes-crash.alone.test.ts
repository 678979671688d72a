import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { isUmiakError, type Reason, seededRandom } from '#base/index.ts';
import { type Client, createClient, fromStatus, type Transport, type WatchEvent } from '#client/index.ts';
import { CustomResourceDefinition } from '#kinds/apiextensions.ts';
import { ConfigMap } from '#kinds/config-map.ts';
import { Deployment } from '#kinds/deployment.ts';
import { apiVersionOf, type Draft, type Key, type Kind, type KubeObject } from '#kinds/kind.ts';
import { Secret } from '#kinds/secret.ts';
import { Service } from '#kinds/service.ts';
import { boats } from './boats.ts';
import { TestCluster, until } from './cluster.ts';

const SEED = Number(process.env.UMIAK_SEED) || Math.floor(Math.random() * 1e6);
const WRITES = process.env.UMIAK_SOAK ? 100_000 : 10_000;
const CLIENTS = 16;
const KILLS = process.env.UMIAK_SOAK ? 40 : 4;
/** Of each client and kind. */
const OBJECTS = 3;
/** After these nobody knows whether the write was done. */
const FATE_UNKNOWN: ReadonlySet<Reason> = new Set(['ServiceUnavailable', 'Timeout', 'InternalError']);
const NAMESPACE = 'default';

const Boat: Kind = {
  ...ConfigMap,
  resource: {
    ...ConfigMap.resource,
    group: 'test.umiak.io',
    version: 'v1',
    kind: 'Boat',
    plural: 'boats',
    singular: 'boat',
    shortNames: [],
  },
};
const KINDS: readonly Kind[] = [ConfigMap, Secret, Service, Deployment, Boat];

/** What each kind cannot be without. */
function specOf(kind: Kind, name: string): object {
  if (kind === Service) return { spec: { ports: [{ port: 80 }], selector: { app: name } } };
  if (kind !== Deployment) return {};
  const template = { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'main', image: 'busybox:test' }] } };
  return { spec: { replicas: 0, selector: { matchLabels: { app: name } }, template } };
}

function draft(kind: Kind, name: string, count: number): Draft<KubeObject> {
  const metadata = { name, namespace: NAMESPACE, annotations: { count: String(count) } };
  return { apiVersion: apiVersionOf(kind.resource), kind: kind.resource.kind, metadata, ...specOf(kind, name) };
}

/** One object as its only writer knows it; `count` is undefined when there is none. */
interface Known {
  kind: Kind;
  key: Key;
  count: number | undefined;
  uid?: string | undefined;
}

/** All that a watch of one kind told, taken up again after each break where it had ended. */
class Watched {
  /** `name revision` of what was there or changed, and `name uid` of what went. */
  readonly told = new Set<string>();
  readonly present = new Map<string, string>();
  breaks = 0;
  revision: string;
  readonly #kind: Kind;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  constructor(client: Client, kind: Kind, revision: string) {
    this.#kind = kind;
    this.revision = revision;
    this.#running = this.#run(client);
    this.#running.catch(() => {});
  }

  async #run(client: Client): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted)
      try {
        const query = { namespace: NAMESPACE, resourceVersion: this.revision };
        for await (const event of client.watch(this.#kind, query, signal)) this.#take(event);
        this.breaks += 1;
      } catch (error) {
        this.breaks += 1;
        if (!isUmiakError(error) || !FATE_UNKNOWN.has(error.reason)) throw error;
        await new Promise(resume => setTimeout(resume, 20));
      }
  }

  #take(event: WatchEvent<KubeObject>): void {
    const revision = event.type === 'BOOKMARK' ? event.resourceVersion : event.object.metadata.resourceVersion;
    const order = Number(revision) - Number(this.revision);
    assert.ok(event.type === 'BOOKMARK' ? order >= 0 : order > 0, `${revision} came after ${this.revision}`);
    this.revision = revision;
    if (event.type === 'BOOKMARK') return;
    const { name, uid } = event.object.metadata;
    assert.equal(event.type === 'ADDED', !this.present.has(name), `${event.type} ${this.#kind.resource.plural}/${name} at ${revision}`);
    if (event.type === 'DELETED') this.present.delete(name);
    else this.present.set(name, revision);
    this.told.add(`${name} ${event.type === 'DELETED' ? uid : revision}`);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** Rejects when the watch failed. */
  get failed(): Promise<void> {
    return this.#running;
  }
}

describe(`${WRITES} mixed writes by ${CLIENTS} clients, the server killed ${KILLS} times meanwhile (UMIAK_SEED=${SEED})`, () => {
  let cluster: TestCluster;
  let client: Client;
  const random = seededRandom(SEED);
  let written = 0;
  let unknown = 0;
  let isOver = false;
  const acknowledged = new Map<Kind, string[]>(KINDS.map(kind => [kind, []]));
  const known: Known[] = [];

  before(async () => {
    cluster = await TestCluster.up();
    client = await cluster.client();
    await client.create(CustomResourceDefinition, boats);
    await until('boats', async () => client.list(Boat, { namespace: NAMESPACE }).catch(() => undefined));
  });
  after(() => cluster?.[Symbol.asyncDispose]());

  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;

  /** One write, and what its writer knows after it. */
  async function write(transport: Transport, object: Known): Promise<void> {
    const { kind, key } = object;
    const own = createClient(transport);
    const next = written++;
    const isDeletion = object.count !== undefined && random() < 0.15;
    const after = isDeletion ? undefined : next;
    try {
      const result = isDeletion ? await own.delete(kind, key) : await change(own, transport, object, next);
      object.count = after;
      object.uid = result?.metadata.uid ?? object.uid;
      acknowledged.get(kind)?.push(`${key.name} ${result?.metadata.resourceVersion ?? object.uid}`);
    } catch (error) {
      if (!isUmiakError(error) || !FATE_UNKNOWN.has(error.reason)) throw error;
      unknown += 1;
      const found = await until('the server', () => own.get(kind, key).then(found => ({ found }), again));
      const count = found.found && Number(found.found.metadata.annotations?.count);
      assert.ok(count === object.count || count === after, `${key.name} is ${count}, was ${object.count}, and ${after} was sent`);
      object.count = count;
      object.uid = found.found?.metadata.uid;
    }
  }

  function again(error: unknown): undefined {
    if (!isUmiakError(error) || !FATE_UNKNOWN.has(error.reason)) throw error;
  }

  async function change(own: Client, transport: Transport, { kind, key, count }: Known, next: number): Promise<KubeObject> {
    const annotations = { count: String(next) };
    const way = random();
    if (way < 0.3) {
      const { group, version, plural } = kind.resource;
      const root = group ? `/apis/${group}/${version}` : `/api/${version}`;
      const { status, body } = await transport.request({
        method: 'PATCH',
        path: `${root}/namespaces/${NAMESPACE}/${plural}/${key.name}?fieldManager=crash&force=true`,
        body: draft(kind, key.name, next),
        contentType: 'application/apply-patch+yaml',
      });
      if (status >= 400) throw fromStatus(body, status);
      return body as KubeObject;
    }
    if (count === undefined) return own.create(kind, draft(kind, key.name, next));
    if (way < 0.8) return own.patch(kind, key, { metadata: { annotations } }, { type: way < 0.5 || kind === Boat ? 'merge' : 'strategic' });
    for (;;) {
      const present = await own.get(kind, key);
      assert.ok(present, `${key.name} was acknowledged and is not there`);
      try {
        return await own.update(kind, { ...present, metadata: { ...present.metadata, annotations } });
      } catch (error) {
        // A controller was quicker.
        if (!isUmiakError(error, 'Conflict')) throw error;
      }
    }
  }

  /** Writes to objects of its own, one after the other. */
  async function load(number: number): Promise<void> {
    const transport = await cluster.transport();
    const own = KINDS.flatMap(kind =>
      Array.from(
        { length: OBJECTS },
        (_, index): Known => ({ kind, key: { namespace: NAMESPACE, name: `c${number}-${index}` }, count: undefined }),
      ),
    );
    known.push(...own);
    while (written < WRITES && !isOver) await write(transport, pick(own));
  }

  async function killNowAndThen(): Promise<void> {
    for (let kills = 1; kills <= KILLS; kills++) {
      const at = (WRITES * (kills - 0.5 + 0.4 * random())) / (KILLS + 1);
      await until('writes to kill in', () => isOver || written >= at);
      if (isOver) return;
      process.kill(cluster.pid('server'), 'SIGKILL');
    }
  }

  test('nothing acknowledged is lost, and watches go on without a gap', {
    timeout: process.env.UMIAK_SOAK ? 3_600_000 : 120_000,
  }, async t => {
    const watches = new Map<Kind, Watched>();
    const watcher = await cluster.client();
    for (const kind of KINDS) {
      const { resourceVersion, items } = await client.list(kind, { namespace: NAMESPACE });
      const watched = new Watched(watcher, kind, resourceVersion);
      for (const { metadata } of items) watched.present.set(metadata.name, metadata.resourceVersion);
      watches.set(kind, watched);
    }
    t.after(() => {
      isOver = true;
      return Promise.allSettled([...watches.values()].map(each => each.stop()));
    });
    const startedMs = performance.now();
    const loads = Promise.all([...Array.from({ length: CLIENTS }, (_, number) => load(number)), killNowAndThen()]);
    await Promise.race([loads, ...[...watches.values()].map(async each => each.failed.then(() => loads))]).catch(error => {
      for (const role of ['server', 'agent'] as const) t.diagnostic(`the ${role} said:\n${cluster.log(role).slice(-16_000)}`);
      throw error;
    });
    t.diagnostic(`${written} writes, ${unknown} of unknown fate, in ${Math.round(performance.now() - startedMs)} ms`);

    for (const [kind, watched] of watches) {
      const { plural: name } = kind.resource;
      const last = await until('the end', () => client.create(kind, draft(kind, `last-${name}`, 0)).catch(again));
      await until(`the last of ${name}`, () => watched.present.has(last.metadata.name));
      const { items } = await client.list(kind, { namespace: NAMESPACE });
      const there = new Map(items.map(({ metadata }) => [metadata.name, metadata]));
      for (const each of known.filter(each => each.kind === kind))
        assert.equal(there.get(each.key.name)?.annotations?.count, each.count?.toString(), `${name}/${each.key.name}`);
      const missed = acknowledged.get(kind)?.filter(each => !watched.told.has(each)) ?? [];
      assert.deepEqual(missed, [], `acknowledged writes to ${name} that the watch did not tell`);
      await until('the same picture', () =>
        items.every(({ metadata }) => Number(watched.present.get(metadata.name)) >= Number(metadata.resourceVersion)),
      );
      assert.deepEqual([...watched.present.keys()].sort(), [...there.keys()].sort());
      assert.ok(watched.breaks >= KILLS, `the watch of ${name} broke ${watched.breaks} times`);
      await watched.stop();
    }
  });
});
