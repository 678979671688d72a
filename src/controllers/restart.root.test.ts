import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isUmiakError, seededRandom } from '#base/index.ts';
import { controllerOf } from '#client/index.ts';
import { ConfigMap } from '#kinds/config-map.ts';
import { Deployment } from '#kinds/deployment.ts';
import { EndpointSlice } from '#kinds/endpoint-slice.ts';
import { Namespace } from '#kinds/namespace.ts';
import { Pod } from '#kinds/pod.ts';
import { isPodActive, isPodReady } from '#kinds/pod-template.ts';
import { ReplicaSet } from '#kinds/replica-set.ts';
import { Service } from '#kinds/service.ts';
import { ServiceAccount } from '#kinds/service-account.ts';
import { ControlPlane, type View } from '#tests/control-plane.ts';

const seed = Number(process.env.UMIAK_SEED ?? Date.now() % 1_000_000);
const STORM_MS = process.env.UMIAK_SOAK ? 120_000 : 4_000;
const NAMES = ['a', 'b', 'c', 'd', 'e'];

interface Wanted {
  replicas: number;
  image: string;
}

/**
 * While Deployments, Services, namespaces and pods are changed at random, the whole control plane is stopped and started again at
 * random moments. What it sees on its way must keep to the rules, and in the end the cluster is as the last changes want it.
 */
test(`a restart at any moment is harmless (UMIAK_SEED=${seed})`, { timeout: STORM_MS + 60_000 }, async t => {
  const random = seededRandom(seed);
  const below = (n: number) => Math.floor(random() * n);
  const pick = <T>(from: readonly T[]): T => from[below(from.length)]!;
  await using plane = await ControlPlane.start({ nodes: 3 });
  const { client } = plane;
  const namespace = await plane.namespace('storm');
  const wanted = new Map<string, Wanted>();
  const counts = { changes: 0, restarts: 0 };
  for (const name of NAMES) {
    const spec = { selector: { app: name }, ports: [{ port: 80 }] };
    await client.create(Service, { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace }, spec });
  }

  const change = async () => {
    const name = pick(NAMES);
    const present = wanted.get(name);
    switch (below(6)) {
      case 0: {
        if (present) break;
        const want = { replicas: below(12), image: `i${below(3)}` };
        await client.create(Deployment, draft(namespace, name, want));
        wanted.set(name, want);
        break;
      }
      case 1:
        if (!present) break;
        present.replicas = below(12);
        await client.patch(Deployment, { namespace, name }, { spec: { replicas: present.replicas } });
        break;
      case 2:
        if (!present) break;
        present.image = `i${below(3)}`;
        await client.patch(
          Deployment,
          { namespace, name },
          { spec: { template: { spec: { containers: [{ name: 'c', image: present.image }] } } } },
        );
        break;
      case 3:
        if (!present || below(3) > 0) break;
        wanted.delete(name);
        await client.delete(Deployment, { namespace, name }, { propagationPolicy: pick(['Background', 'Foreground']) });
        await plane.until(`${name} is gone`, view => view.get(Deployment, { namespace, name }) === undefined);
        break;
      case 4: {
        const victim = pick(plane.view.list(Pod, namespace));
        if (victim) await client.delete(Pod, victim.metadata, { gracePeriodSeconds: pick([0, 1]) });
        break;
      }
      default: {
        const victim = pick(plane.view.list(Pod, namespace));
        if (victim && isPodActive(victim)) await plane.setStatus(victim, 'Failed', false);
      }
    }
    counts.changes += 1;
  };

  using _rules = plane.always(view => {
    for (const set of view.list(ReplicaSet, namespace)) {
      const active = view.list(Pod, namespace).filter(pod => isPodActive(pod) && controllerOf(pod)?.uid === set.metadata.uid);
      assert.ok(active.length <= 18, `${set.metadata.name} has ${active.length} live pods`);
    }
  });

  let over = false;
  const restarts = (async () => {
    while (!over) {
      await sleep(below(150));
      await plane.stopControllers({ abruptly: below(2) === 0 });
      await plane.startControllers();
      counts.restarts += 1;
    }
  })();
  const end = Date.now() + STORM_MS;
  while (Date.now() < end) {
    try {
      await change();
    } catch (error) {
      if (!isUmiakError(error, 'NotFound') && !isUmiakError(error, 'Conflict')) throw error;
    }
    await sleep(below(8));
  }
  over = true;
  await restarts;
  t.diagnostic(`${counts.changes} changes, ${counts.restarts} restarts`);

  await plane.until('the cluster is as it was asked to be', view => isAsWanted(view, namespace, wanted), 30_000);
  // Nothing more may happen: the picture must stay as it is while the controllers look at everything once more.
  await plane.stopControllers();
  const before = fingerprint(plane.view, namespace);
  await plane.startControllers();
  await plane.namespace('after');
  await plane.until('they work', view => view.get(ServiceAccount, { namespace: 'after', name: 'default' }) !== undefined);
  assert.deepEqual(fingerprint(plane.view, namespace), before);

  await client.delete(Namespace, { name: namespace });
  await sleep(below(20));
  await plane.stopControllers({ abruptly: true });
  await plane.startControllers();
  await plane.until('the namespace is gone', view => view.get(Namespace, { name: namespace }) === undefined);
  assert.equal(plane.view.list(Pod, namespace).length + plane.view.list(ConfigMap, namespace).length, 0);
});

function draft(namespace: string, name: string, { replicas, image }: Wanted) {
  const labels = { app: name };
  const template = { metadata: { labels }, spec: { containers: [{ name: 'c', image }] } };
  const metadata = { name, namespace };
  return {
    apiVersion: 'apps/v1' as const,
    kind: 'Deployment' as const,
    metadata,
    spec: { replicas, selector: { matchLabels: labels }, template },
  };
}

function isAsWanted(view: View, namespace: string, wanted: ReadonlyMap<string, Wanted>): boolean {
  const pods = view.list(Pod, namespace).filter(isPodActive);
  const uids = new Set(view.list(ReplicaSet, namespace).map(({ metadata }) => metadata.uid));
  if (pods.some(pod => !uids.has(controllerOf(pod)?.uid ?? ''))) return false;
  if (view.list(Pod, namespace).some(({ metadata }) => metadata.deletionTimestamp)) return false;
  const sets = view.list(ReplicaSet, namespace);
  if (sets.some(set => !wanted.has(controllerOf(set)?.name ?? '') || (set.status?.terminatingReplicas ?? 0) > 0)) return false;
  const slices = view.list(EndpointSlice, namespace);
  return NAMES.every(name => {
    const ownSlices = slices.filter(slice => controllerOf(slice)?.name === name);
    const want = wanted.get(name);
    const own = pods.filter(({ metadata }) => metadata.labels?.app === name);
    const isServed = (uid: string) =>
      ownSlices[0]?.endpoints?.some(({ targetRef, conditions }) => targetRef?.uid === uid && conditions?.ready);
    if (ownSlices.length !== 1 || ownSlices[0]?.endpoints?.length !== own.length) return false;
    if (!own.every(({ metadata }) => isServed(metadata.uid))) return false;
    if (!want) return own.length === 0;
    const { status, metadata } = view.get(Deployment, { namespace, name }) ?? {};
    return (
      own.length === want.replicas &&
      own.every(pod => isPodReady(pod) && pod.spec.nodeName && pod.spec.containers[0]?.image === want.image) &&
      status?.observedGeneration === metadata?.generation &&
      (status?.terminatingReplicas ?? 0) === 0 &&
      status?.conditions?.some(({ reason }) => reason === 'NewReplicaSetAvailable') === true &&
      (status?.availableReplicas ?? 0) === want.replicas &&
      (status?.replicas ?? 0) === want.replicas
    );
  });
}

/** Every object's revision: equal before and after means nobody wrote. */
function fingerprint(view: View, namespace: string): string[] {
  return [Pod, ReplicaSet, Deployment, EndpointSlice, Service]
    .flatMap(kind =>
      view.list(kind as typeof Pod, namespace).map(({ kind: of, metadata }) => `${of} ${metadata.name} ${metadata.resourceVersion}`),
    )
    .sort();
}
