import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { isUmiakError, seededRandom } from '#base/index.ts';
import type { Client } from '#client/index.ts';
import { ConfigMap } from '#kinds/config-map.ts';
import { Deployment } from '#kinds/deployment.ts';
import type { Draft } from '#kinds/kind.ts';
import { Pod } from '#kinds/pod.ts';
import { ReplicaSet } from '#kinds/replica-set.ts';
import { TestCluster, until } from './cluster.ts';
import { assertNoLeak, countResources, type Resources } from './resources.ts';

const SEED = Number(process.env.UMIAK_SEED) || Math.floor(Math.random() * 1e6);
const KILLS = process.env.UMIAK_SOAK ? 300 : 20;
const MOST_DEPLOYMENTS = 6;

/** What the API said last of an object: `maybe` when a request got no answer. */
type Known = 'there' | 'gone' | 'maybe';

const deploymentOf = (name: string, replicas: number): Draft<Deployment> => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name, namespace: 'default' },
  spec: {
    replicas,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: {
        terminationGracePeriodSeconds: 1,
        containers: [
          {
            name: 'main',
            image: 'busybox:test',
            imagePullPolicy: 'IfNotPresent',
            command: ['sh', '-c', 'trap "exit 0" TERM; sleep 100000 & wait'],
          },
        ],
      },
    },
  },
});

describe(`server and agent killed at ${KILLS} random moments under load (UMIAK_SEED=${SEED})`, () => {
  let cluster: TestCluster;
  let client: Client;
  let nothing: Resources;
  const random = seededRandom(SEED);
  const deployments = new Map<string, Known>();
  const replicasOf = new Map<string, number>();
  /** Acknowledged writes to one object, the last of which must be there. */
  const acknowledged = { counter: 0, sent: 0 };

  before(async () => {
    cluster = await TestCluster.open();
    nothing = count();
    await cluster.must('up');
    await cluster.loadBusybox();
    client = await cluster.client();
    await client.create(ConfigMap, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'counter', namespace: 'default' },
      data: { count: '0' },
    });
  });
  after(() => cluster[Symbol.asyncDispose]());

  const count = () => ({
    ...countResources({ instance: cluster.name, directories: [cluster.directory, cluster.runDir] }),
    descriptors: {},
  });

  /** Runs a request; undefined when its fate is unknown. What the API refused is a failure of the test. */
  async function ask<T>(request: () => Promise<T>, ...fine: string[]): Promise<{ value?: T; refused?: string } | undefined> {
    try {
      return { value: await request() };
    } catch (error) {
      if (isUmiakError(error) && fine.includes(error.reason)) return { refused: error.reason };
      if (isUmiakError(error) && !['ServiceUnavailable', 'Timeout', 'InternalError', 'TooManyRequests'].includes(error.reason)) throw error;
      return undefined;
    }
  }

  /** One client: creates, scales and deletes Deployments, and counts in a ConfigMap, as fast as it is answered. */
  async function work(stop: AbortSignal): Promise<void> {
    for (let serial = 0; !stop.aborted; serial++) {
      const live = [...deployments].filter(([, known]) => known !== 'gone').map(([name]) => name);
      const chosen = live[Math.floor(random() * live.length)];
      const dice = random();
      if (chosen === undefined || (dice < 0.4 && live.length < MOST_DEPLOYMENTS)) {
        const name = `app-${serial}`;
        deployments.set(name, 'maybe');
        replicasOf.set(name, 1 + Math.floor(random() * 2));
        const made = await ask(() => client.create(Deployment, deploymentOf(name, replicasOf.get(name) ?? 1)));
        if (made) deployments.set(name, 'there');
      } else if (dice < 0.7) {
        deployments.set(chosen, 'maybe');
        const deleted = await ask(() => client.delete(Deployment, { namespace: 'default', name: chosen }), 'NotFound');
        if (deleted) deployments.set(chosen, 'gone');
      } else if (deployments.get(chosen) === 'there') {
        const replicas = 1 + Math.floor(random() * 2);
        const scaled = await ask(() => client.patch(Deployment, { namespace: 'default', name: chosen }, { spec: { replicas } }));
        if (scaled) replicasOf.set(chosen, replicas);
        else replicasOf.delete(chosen);
      }
      acknowledged.sent++;
      const patched = await ask(() =>
        client.patch(ConfigMap, { namespace: 'default', name: 'counter' }, { data: { count: String(acknowledged.sent) } }),
      );
      if (patched) acknowledged.counter = acknowledged.sent;
      await new Promise(resume => setTimeout(resume, patched ? 20 : 100));
    }
  }

  test('every acknowledged write is there, pods converge, nothing is there twice', async t => {
    const stop = new AbortController();
    const working = work(stop.signal);
    working.catch(() => stop.abort());
    const killed = { server: 0, agent: 0 };
    for (let n = 0; n < KILLS && !stop.signal.aborted; n++) {
      await new Promise(resume => setTimeout(resume, 50 + random() * 900));
      const role = random() < 0.5 ? 'server' : 'agent';
      killed[role]++;
      process.kill(cluster.pid(role), 'SIGKILL');
      // Half of the time nobody helps: they start each other again.
      if (random() < 0.5) {
        const up = await cluster.umiak('up');
        assert.equal(up.code, 0, `kill ${n}: ${up.stderr}`);
      } else await ready(`kill ${n} of the ${role}`);
    }
    await ready('the end');
    stop.abort();
    await working;
    t.diagnostic(`${JSON.stringify(killed)} killed; ${acknowledged.counter} writes to one object, ${deployments.size} deployments`);

    const counter = await client.get(ConfigMap, { namespace: 'default', name: 'counter' });
    const at = Number(counter?.data?.count);
    assert.ok(
      at >= acknowledged.counter && at <= acknowledged.sent,
      `${at} is there, ${acknowledged.counter} was acknowledged of ${acknowledged.sent}`,
    );
    const { items } = await client.list(Deployment, { namespace: 'default' });
    const there = new Set(items.map(({ metadata }) => metadata.name));
    for (const [name, known] of deployments) {
      if (known === 'there') assert.ok(there.has(name), `${name} was acknowledged`);
      if (known === 'gone') assert.ok(!there.has(name), `${name} was deleted`);
    }
    for (const { metadata, spec } of items) {
      const replicas = replicasOf.get(metadata.name);
      if (replicas !== undefined) assert.equal(spec.replicas, replicas, metadata.name);
    }
    const wanted = items
      .map(({ metadata, spec }) => `${metadata.name}:${spec.replicas}`)
      .sort()
      .join(' ');
    await until(`pods to be what deployments say: ${wanted}`, async () => (await shown()) === wanted, 60_000).catch(async error =>
      assert.fail(`${error.message}, and are ${await shown()}\n${await cluster.kubectl('get', 'pods,rs', '-o', 'wide')}`),
    );
    const sets = (await client.list(ReplicaSet, { namespace: 'default' })).items.filter(({ spec }) => (spec.replicas ?? 0) > 0);
    assert.equal(sets.length, items.length, 'one ReplicaSet each');
    const names = (await client.list(Pod, { namespace: 'default' })).items
      .map(({ metadata }) => metadata.name)
      .sort()
      .join(' ');
    await until('each pod to have its processes, and nothing else to', () => running() === names, 15_000).catch(error =>
      assert.fail(`${error.message}: ${running()} run, ${names} should`),
    );
  });

  test('when all are deleted nothing of them is left', async () => {
    await client.deleteCollection(Deployment, { namespace: 'default' });
    await until('no pods', async () => (await client.list(Pod, { namespace: 'default' })).items.length === 0);
    await until('no processes', () => cluster.processes().length === 0, 15_000);
    const left = () => {
      const { mounts, cgroups } = count();
      const pods = cgroups.filter(path => /\/pod[^/]+(\/|$)/.test(path));
      const volumes = existsSync(join(cluster.dataDir, 'volumes')) ? readdirSync(join(cluster.dataDir, 'volumes')) : [];
      // The instance's own memory stays with it.
      const own = [join(cluster.runDir, 'engine'), join(cluster.dataDir, 'volumes/..memory')];
      return [
        ...mounts.filter(path => !path.includes('/netns') && !own.includes(path)),
        ...pods,
        ...volumes.filter(name => name !== '..memory'),
      ];
    };
    await until('mounts, cgroups and volumes to be gone', () => left().length === 0, 15_000).catch(error =>
      assert.fail(`${error.message}: ${left().join('\n')}`),
    );
    await cluster.must('down', '--containers');
    assertNoLeak(nothing, count(), { files: false });
  });

  /** Both roles say that they are ready. */
  const ready = (what: string) => until(`${what}: both to be ready again`, async () => (await cluster.umiak('status')).code === 0, 40_000);

  /** Deployments by their pods that are ready and stay. */
  const shown = async () => {
    const { items } = await client.list(Pod, { namespace: 'default' });
    const counts = new Map<string, number>();
    for (const { metadata, status } of items) {
      const name = metadata.labels?.app ?? '?';
      const isReady = status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') && !metadata.deletionTimestamp;
      counts.set(isReady ? name : `${name}!`, (counts.get(isReady ? name : `${name}!`) ?? 0) + 1);
    }
    return [...counts]
      .map(([name, number]) => `${name}:${number}`)
      .sort()
      .join(' ');
  };

  const running = () => {
    const names = cluster
      .processes()
      .flatMap(({ environment }) => environment.flatMap(each => (each.startsWith('HOSTNAME=') ? [each.slice(9)] : [])));
    return [...new Set(names)].sort().join(' ');
  };
});
