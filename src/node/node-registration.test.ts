import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startTestCluster } from '#apiserver/test-cluster.ts';
import { ManualClock, type Reason, silentLog, systemClock, toTime, UmiakError } from '#base/index.ts';
import type { Client } from '#client/index.ts';
import { Lease } from '#kinds/lease.ts';
import { Node } from '#kinds/node.ts';
import type { MachineLeft } from './node-conditions.ts';
import { NodeRegistration, type NodeRegistrationOptions } from './node-registration.ts';

interface Named {
  resource: { kind: string };
}
type Patch = { metadata?: Node['metadata']; spec?: object; status?: NonNullable<Node['status']> };

/** An API with one Node and one Lease, that remembers what was asked of it and refuses what it is told to. */
class Script {
  node: Node | undefined;
  lease: Lease | undefined;
  readonly asked: string[] = [];
  readonly statuses: NonNullable<Node['status']>[] = [];
  refuse: (what: string) => Reason | undefined = () => undefined;
  #uids = 0;

  readonly client = {
    get: async ({ resource: { kind } }: Named) => {
      this.#ask(`get ${kind}`);
      return structuredClone(kind === 'Node' ? this.node : this.lease);
    },
    create: async ({ resource: { kind } }: Named, draft: Node | Lease) => {
      this.#ask(`create ${kind}`);
      const made = { ...structuredClone(draft), metadata: { ...draft.metadata, uid: `uid-${++this.#uids}` } };
      if (kind === 'Node') this.node = made as Node;
      else this.lease = made as Lease;
      return structuredClone(made);
    },
    patch: async (
      { resource: { kind } }: Named,
      _key: object,
      patch: Patch,
      { type, subresource = '' }: { type: string; subresource?: string },
    ) => {
      this.#ask(`patch ${kind}${subresource && `/${subresource}`} ${type}`);
      const present = kind === 'Node' ? this.node : this.lease;
      if (!present) throw new UmiakError('NotFound', `no ${kind}`);
      if (patch.status) this.statuses.push(structuredClone(patch.status));
      const metadata = { ...present.metadata, labels: { ...present.metadata.labels, ...patch.metadata?.labels } };
      const patched = { ...present, ...structuredClone(patch), metadata, spec: { ...present.spec, ...patch.spec } };
      if (kind === 'Node') this.node = patched as Node;
      else this.lease = patched as Lease;
      return structuredClone(patched);
    },
  } as unknown as Pick<Client, 'get' | 'create' | 'patch'>;

  /** What was asked since the last call. */
  take(): string[] {
    return this.asked.splice(0);
  }

  condition(type: string) {
    return this.node?.status?.conditions?.find(each => each.type === type);
  }

  /** Somebody deletes both. */
  lose(): void {
    this.node = undefined;
    this.lease = undefined;
  }

  #ask(what: string): void {
    this.asked.push(what);
    const reason = this.refuse(what);
    if (reason) throw new UmiakError(reason, `${what} is refused`);
  }
}

const PLENTY: MachineLeft = {
  memoryAvailableBytes: 2 ** 33,
  storageBytes: 1e12,
  storageAvailableBytes: 5e11,
  inodes: 1e6,
  inodesFree: 9e5,
  tasks: 100,
  mostTasks: 32_768,
};

describe('the registration of a node', () => {
  let clock: ManualClock;
  let script: Script;
  let left: MachineLeft;
  let images: { names: string[]; sizeBytes: number }[];
  let registration: NodeRegistration;
  const make = (more: Partial<NodeRegistrationOptions> = {}) =>
    new NodeRegistration({
      client: script.client,
      nodeName: 'n1',
      hostAddress: '192.0.2.7',
      dataDir: '/',
      version: '0.1.0',
      images: async () => images,
      machine: { facts: { milliCpus: 2000, memoryBytes: 2 ** 32, storageBytes: 1e12, hugepages: { '2Mi': 64 << 20 } }, left: () => left },
      clock,
      log: silentLog,
      ...more,
    });
  beforeEach(() => {
    clock = new ManualClock();
    script = new Script();
    left = PLENTY;
    images = [];
    registration = make();
  });
  afterEach(() => registration[Symbol.asyncDispose]());
  /** Lets time pass in steps of a second, and what it sets off come to its end. */
  const pass = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 1000) {
      clock.advance(1000);
      await sleep(0);
    }
  };

  test('what runtime handlers can do is said when they have told it, and nobody waits for that', async () => {
    await registration[Symbol.asyncDispose]();
    const handler = { name: '', features: { userNamespaces: true, recursiveReadOnlyMounts: true } };
    registration = make({ handlers: async () => [handler] });
    await registration.start({ kubeletPort: 4711 });
    assert.equal(script.node?.status?.runtimeHandlers, undefined);
    await pass(1000);
    assert.deepEqual(script.node?.status?.runtimeHandlers, [handler]);
    assert.deepEqual(script.node?.status?.features, { supplementalGroupsPolicy: true });
  });

  test('a new node: made, described, not ready before this agent says so', async () => {
    await registration.start({ kubeletPort: 4711 });
    assert.deepEqual(script.take(), ['get Node', 'create Node', 'patch Lease merge', 'create Lease', 'patch Node/status strategic']);
    const { metadata, status } = script.node!;
    assert.equal(metadata.labels?.['kubernetes.io/hostname'], 'n1');
    assert.equal(metadata.labels?.['kubernetes.io/os'], 'linux');
    assert.deepEqual(status?.addresses, [
      { type: 'InternalIP', address: '192.0.2.7' },
      { type: 'Hostname', address: 'n1' },
    ]);
    assert.equal(status?.daemonEndpoints?.kubeletEndpoint?.Port, 4711);
    assert.equal(status?.nodeInfo?.containerRuntimeVersion, 'umiak://0.1.0');
    assert.match(status?.nodeInfo?.kubeletVersion ?? '', /^v1\.36\.\d+\+umiak/);
    assert.deepEqual(status?.capacity, {
      cpu: '2',
      memory: '4194304Ki',
      pods: '250',
      'ephemeral-storage': '1000000000000',
      'hugepages-2Mi': '64Mi',
    });
    assert.deepEqual(status?.allocatable, { ...status?.capacity, memory: '4128768Ki' });
    assert.deepEqual(
      status?.conditions?.map(({ type, status: is, reason }) => `${type} ${is} ${reason}`),
      [
        'MemoryPressure False KubeletHasSufficientMemory',
        'DiskPressure False KubeletHasNoDiskPressure',
        'PIDPressure False KubeletHasSufficientPID',
        'Ready False KubeletNotReady',
      ],
    );
    assert.deepEqual(script.lease?.metadata.ownerReferences, [{ apiVersion: 'v1', kind: 'Node', name: 'n1', uid: 'uid-1' }]);
    assert.equal(script.lease?.spec.leaseDurationSeconds, 40);
    await registration.markReady();
    assert.deepEqual(script.take(), ['patch Node/status strategic']);
    assert.equal(script.condition('Ready')?.status, 'True');
  });

  test("an earlier agent's Ready is taken back first, and with the rest ready a single write does", async () => {
    await registration.start({ kubeletPort: 1 });
    await registration.markReady();
    await registration[Symbol.asyncDispose]();
    assert.equal(script.condition('Ready')?.status, 'True', 'ending says nothing');
    const since = script.condition('Ready')?.lastTransitionTime;

    registration = make();
    clock.advance(60_000);
    script.take();
    await registration.start({ kubeletPort: 2 });
    assert.deepEqual(script.take(), ['get Node', 'patch Lease merge', 'patch Node/status strategic']);
    assert.equal(script.condition('Ready')?.status, 'False');
    await registration.markReady();
    assert.equal(script.condition('Ready')?.lastTransitionTime, toTime(clock.now()));
    assert.notEqual(script.condition('Ready')?.lastTransitionTime, since);
    await registration[Symbol.asyncDispose]();

    registration = make();
    const before = script.condition('Ready')?.lastTransitionTime;
    clock.advance(60_000);
    script.take();
    script.statuses.length = 0;
    await registration.markReady();
    await registration.start({ kubeletPort: 3 });
    assert.deepEqual(script.take(), ['get Node', 'patch Lease merge', 'patch Node/status strategic']);
    assert.equal(script.statuses.length, 1);
    assert.equal(script.condition('Ready')?.status, 'True');
    assert.equal(script.condition('Ready')?.lastTransitionTime, before, 'it never was not ready');
    assert.equal(script.condition('Ready')?.lastHeartbeatTime, toTime(clock.now()));
  });

  test('heartbeats: the lease every ten seconds, the status every five minutes', async () => {
    await registration.start({ kubeletPort: 1 });
    await registration.markReady();
    script.take();
    await pass(30_000);
    assert.deepEqual(script.take(), Array(3).fill('patch Lease merge'));
    assert.equal(Date.parse(script.lease?.spec.renewTime ?? ''), clock.now());
    await pass(270_000);
    const asked = script.take();
    assert.equal(asked.filter(what => what.startsWith('patch Lease')).length, 27);
    assert.deepEqual(asked.slice(-2), ['patch Lease merge', 'patch Node/status strategic']);
    assert.equal(asked.length, 28);
  });

  test('images that came are told by the next heartbeat; the largest fifty, five names each', async () => {
    await registration.start({ kubeletPort: 1 });
    images = Array.from({ length: 60 }, (_, index) => ({ names: Array(7).fill(`image-${index}`), sizeBytes: index }));
    images.push({ names: [], sizeBytes: 1e9 });
    registration.imagesChanged();
    script.take();
    await pass(10_000);
    assert.deepEqual(script.take(), ['patch Lease merge', 'patch Node/status strategic']);
    const told = script.node?.status?.images ?? [];
    assert.deepEqual([told.length, told[0]?.sizeBytes, told[0]?.names?.length], [50, 59, 5]);
    registration.imagesChanged();
    await pass(10_000);
    assert.deepEqual(script.take(), ['patch Lease merge'], 'nothing has changed');
  });

  test('a pressure is told at once and taken back five minutes after it was last seen', async () => {
    await registration.start({ kubeletPort: 1 });
    left = { ...PLENTY, storageAvailableBytes: 1 << 20 };
    await pass(10_000);
    assert.deepEqual(
      [script.condition('DiskPressure')?.status, script.condition('DiskPressure')?.reason],
      ['True', 'KubeletHasDiskPressure'],
    );
    left = PLENTY;
    await pass(290_000);
    assert.equal(script.condition('DiskPressure')?.status, 'True');
    await pass(10_000);
    assert.equal(script.condition('DiskPressure')?.status, 'False');
  });

  test('an API that is away: tried again soon, then every ten seconds; all well afterwards', async () => {
    await registration.start({ kubeletPort: 1 });
    script.take();
    script.refuse = () => 'ServiceUnavailable';
    await pass(40_000);
    const tries = script.take().length;
    assert.ok(tries >= 8 && tries <= 12, `${tries} tries`);
    script.refuse = () => undefined;
    await pass(10_000);
    assert.equal(Date.parse(script.lease?.spec.renewTime ?? '') > clock.now() - 10_000, true);
  });

  test('a Node or a Lease that somebody deleted is made again', async () => {
    await registration.start({ kubeletPort: 1 });
    await registration.markReady();
    script.lose();
    await pass(10_000);
    assert.equal(script.condition('Ready')?.status, 'True');
    assert.equal(script.lease?.metadata.ownerReferences?.[0]?.uid, script.node?.metadata.uid);
    script.node = undefined;
    await pass(300_000);
    assert.equal(script.condition('Ready')?.status, 'True');
  });

  test('labels that are wrong are set right, others stay, and so does the spec', async () => {
    const labels = { 'kubernetes.io/os': 'plan9', zone: 'a' };
    script.node = {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: 'n1', uid: 'u', labels },
      spec: { podCIDR: '10.1.0.0/24' },
    } as unknown as Node;
    await registration.start({ kubeletPort: 1 });
    assert.deepEqual(script.take().slice(0, 3), ['get Node', 'patch Node merge', 'patch Lease merge']);
    const { metadata, spec } = script.node as Node;
    assert.deepEqual([metadata.labels?.zone, metadata.labels?.['kubernetes.io/os'], spec.podCIDR], ['a', 'linux', '10.1.0.0/24']);
  });

  test('a lease that cannot be made yet does not keep the node from starting; a status does', async () => {
    script.refuse = what => (what === 'create Lease' ? 'Forbidden' : undefined);
    await registration.start({ kubeletPort: 1 });
    assert.equal(script.lease, undefined);
    script.refuse = () => undefined;
    await pass(1000);
    assert.ok(script.lease);
    await registration[Symbol.asyncDispose]();
    registration = make();
    script.refuse = what => (what.startsWith('patch Node/status') ? 'Forbidden' : undefined);
    await assert.rejects(registration.start({ kubeletPort: 1 }), { reason: 'Forbidden' });
  });

  test('amounts for pods that are set apart, and no writes after the end', async () => {
    await registration[Symbol.asyncDispose]();
    registration = make({ allocatable: { memory: '1Gi' } });
    assert.equal(registration.allocatable.memory, '1Gi');
    await registration.start({ kubeletPort: 1 });
    assert.equal(script.node?.status?.capacity?.memory, '4194304Ki');
    await registration[Symbol.asyncDispose]();
    script.take();
    await pass(20_000);
    assert.deepEqual(script.take(), []);
  });
});

test('a real API: the Node as people see it, conditions of others kept', async () => {
  await using cluster = await startTestCluster();
  const { client } = cluster;
  const status = { conditions: [{ type: 'NetworkUnavailable', status: 'False' }] };
  await using registration = new NodeRegistration({
    client,
    nodeName: 'n1',
    hostAddress: '192.0.2.7',
    dataDir: '/',
    version: '0.1.0',
    images: async () => [{ names: ['busybox:latest'], sizeBytes: 5 }],
    clock: systemClock,
    log: silentLog,
  });
  await registration.start({ kubeletPort: 4711 });
  await client.patch(Node, { name: 'n1' }, { status }, { type: 'strategic', subresource: 'status' });
  await registration.markReady();
  const { stdout } = await cluster.kubectl('get', 'node', 'n1', '-o', 'wide', '--no-headers');
  assert.match(stdout, /^n1 +Ready +<none> +\S+ +v1\.36\.\d+\+umiak-0\.1\.0 +192\.0\.2\.7 +<none> +.* +umiak:\/\/0\.1\.0\n$/);
  const types = (await client.get(Node, { name: 'n1' }))?.status?.conditions?.map(({ type }) => type).toSorted();
  assert.deepEqual(types, ['DiskPressure', 'MemoryPressure', 'NetworkUnavailable', 'PIDPressure', 'Ready']);
  const lease = await client.get(Lease, { namespace: 'kube-node-lease', name: 'n1' });
  assert.equal(lease?.spec.holderIdentity, 'n1');
  assert.equal(lease?.metadata.ownerReferences?.[0]?.kind, 'Node');
});
