import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import type { Client } from '#client/index.ts';
import { Pod } from '#kinds/pod.ts';
import { TestCluster, until } from './cluster.ts';
import { FOREVER, pod, shell } from './pod-manifests.ts';
import { countResources, OCCUPIED } from './resources.ts';

const PODS = process.env.UMIAK_SOAK ? 2_000 : 40;
const AT_A_TIME = 10;
const READY_NETWORKS = 16;

describe(`${PODS} pods made and removed through the API`, () => {
  let cluster: TestCluster;
  let client: Client;

  before(async () => {
    cluster = await TestCluster.up();
    await cluster.loadBusybox();
    client = await cluster.client();
  });
  after(() => cluster[Symbol.asyncDispose]());

  const live = async (count: number) => {
    for (let made = 0; made < count; made += AT_A_TIME) {
      const names = Array.from({ length: AT_A_TIME }, (_, n) => `churn-${made + n}`);
      // Each with what is to be taken back: a host port, volumes in memory and on the disk, a probe.
      const specs = names.map((name, n) => {
        const ports = [{ containerPort: 80, hostPort: 20_000 + (cluster.apiPort % 1_000) + n, protocol: 'TCP' as const }];
        const volumeMounts = [
          { name: 'memory', mountPath: '/memory' },
          { name: 'disk', mountPath: '/disk' },
        ];
        const readinessProbe = { exec: { command: ['true'] }, periodSeconds: 1 };
        return pod(name, [shell(FOREVER, { ports, volumeMounts, readinessProbe } as never)], {
          terminationGracePeriodSeconds: 1,
          volumes: [
            { name: 'memory', emptyDir: { medium: 'Memory' } },
            { name: 'disk', emptyDir: {} },
          ],
        });
      });
      await cluster.apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: specs }));
      await cluster.kubectl('wait', '--for=condition=Ready', 'pod', '--all', '--timeout=60s');
      await client.deleteCollection(Pod, { namespace: 'default' });
      await until('no pods', async () => (await client.list(Pod, { namespace: 'default' })).items.length === 0);
    }
  };
  /** How many there are of each: the pool's networks have other names each time. */
  const count = (): Record<string, number> => {
    const pids = [cluster.pid('agent'), cluster.pid('server')];
    const found = countResources({ ...cluster.scope, pids, rules: true });
    // Connections come and go, and so do the store's own to its file.
    const descriptors = Object.entries(found.descriptors).filter(([what]) => what !== 'socket:' && !what.includes('/store.db'));
    return {
      ...Object.fromEntries(OCCUPIED.map(kind => [kind, found[kind].length])),
      files: found.files.length,
      ...Object.fromEntries(Object.entries(found.rules).map(([what, number]) => [`rules: ${what}`, number])),
      ...Object.fromEntries(descriptors.map(([what, number]) => [`descriptors: ${what}`, number])),
    };
  };
  const more = (before: Record<string, number>) =>
    Object.entries(count()).flatMap(([what, number]) =>
      number > (before[what] ?? 0) ? [`${number - (before[what] ?? 0)} more ${what}`] : [],
    );

  test('what they had is taken back', async () => {
    await live(AT_A_TIME);
    // Nothing but what stands ready: each network has three namespaces.
    await until('rest', () => cluster.processes().length === 0 && count().namespaces === 3 * READY_NETWORKS, 20_000);
    // The agent looks at the machine some seconds after its start, and keeps what it found.
    await until('the machine is looked at', () => existsSync(`${cluster.runDir}/doctor.json`), 60_000);
    const before = count();
    await live(PODS);
    await until('everything to be as before', () => more(before).length === 0, 20_000).catch(() => assert.deepEqual(more(before), []));
  });
});
