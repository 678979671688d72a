import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import type { SecurityConfig } from '#engine/engine.ts';
import { Pod } from '#kinds/pod.ts';
import { made } from '#kinds/testing.ts';
import { LocalContainerPlanner, planContainerConfig, terminationFile } from './container-planner.ts';
import type { NodeFacts } from './downward.ts';
import type { ContainerSpec } from './parts.ts';
import { planPodResources, planResources } from './plan-container-resources.ts';
import { planSecurity } from './plan-security.ts';

const facts = { nodeName: 'n', hostAddress: '192.0.2.1', allocatable: { cpu: '4', memory: '8Gi' } };
const sandbox = {
  id: 's',
  state: 'ready' as const,
  createdAtMs: 0,
  address: '10.42.0.2',
  config: { owner: 'node' as const, metadata: { name: 'p', namespace: 'default', uid: 'u', attempt: 0 }, network: 'pod' as const },
};

function podWith(container: object, spec: object = {}): { pod: Pod; container: ContainerSpec } {
  const pod = made(Pod, {
    metadata: { name: 'p', namespace: 'default', uid: 'u' },
    spec: { containers: [{ name: 'c', image: 'i', ...container }], ...spec },
  });
  const [first] = pod.spec.containers;
  assert.ok(first);
  return { pod, container: first };
}

describe('planContainerConfig', () => {
  const config = (container: object, { environment = new Map<string, string>(), spec = {}, imageUser = '' } = {}) =>
    planContainerConfig(
      { ...podWith(container, spec), sandbox, volumes: new Map(), image: 'sha256:1', imageUser, attempt: 3 },
      environment,
      [],
      { facts, seccompDirectory: '/seccomp' },
    );

  test('command and args are expanded, with what is unknown left', () => {
    const environment = new Map([['A', '1']]);
    const { command, args } = config({ command: ['sh', '$(A)'], args: ['$$(A)', '$(B)'] }, { environment });
    assert.deepEqual({ command, args }, { command: ['sh', '1'], args: ['$(A)', '$(B)'] });
  });

  test('names, log and streams', () => {
    const { labels, logPath, metadata, stdin, stdinOnce, tty, workingDir } = config({ stdin: true, tty: true, workingDir: '/w' });
    assert.equal(labels?.['io.kubernetes.container.name'], 'c');
    assert.equal(labels?.['io.kubernetes.pod.uid'], 'u');
    assert.deepEqual(
      { logPath, metadata, stdin, stdinOnce, tty, workingDir },
      { logPath: 'c/3.log', metadata: { name: 'c', attempt: 3 }, stdin: true, stdinOnce: false, tty: true, workingDir: '/w' },
    );
  });

  const nonRoot = { securityContext: { runAsNonRoot: true } };
  const roots: [string, object, string, RegExp][] = [
    ['the image’s user', {}, '', /^container has runAsNonRoot and image will run as root \(pod: "p_default\(u\)", container: c\)$/],
    ['the image’s user by number', {}, '0:5', /image will run as root/],
    ['the image’s user by name', {}, 'root', /image will run as root/],
    ['runAsUser', { securityContext: { runAsUser: 0 } }, 'web', /^container's runAsUser breaks non-root policy/],
  ];
  for (const [what, container, imageUser, message] of roots)
    test(`runAsNonRoot with root as ${what} is refused`, () =>
      assert.throws(() => config(container, { spec: nonRoot, imageUser }), { reason: 'Invalid', message }));
  for (const imageUser of ['1000', 'web', '1000:0'])
    test(`runAsNonRoot with ${imageUser} goes on to the engine`, () => void config({}, { spec: nonRoot, imageUser }));
});

describe('planResources', () => {
  const of = (resources: object, { qosClass = 'Burstable', priority = 0 } = {}) => {
    const { pod, container } = podWith({ resources }, { priority });
    return planResources({ ...pod, status: { qosClass } }, { ...container, resources }, facts);
  };
  const cases: [string, object, object, object][] = [
    ['nothing', {}, { qosClass: 'BestEffort' }, { cpuShares: 2, oomScoreAdj: 1000 }],
    ['requests', { requests: { cpu: '250m', memory: '2Gi' } }, {}, { cpuShares: 256, oomScoreAdj: 750 }],
    [
      'a limit is its own request',
      { limits: { cpu: '500m' } },
      {},
      { cpuShares: 512, cpuQuotaUs: 50_000, cpuPeriodUs: 100_000, oomScoreAdj: 999 },
    ],
    [
      'the least',
      { requests: { cpu: '1m' }, limits: { cpu: '1m' } },
      {},
      { cpuShares: 2, cpuQuotaUs: 1000, cpuPeriodUs: 100_000, oomScoreAdj: 999 },
    ],
    [
      'guaranteed',
      { requests: { cpu: '2', memory: '64Mi' }, limits: { cpu: '2', memory: '64Mi' } },
      { qosClass: 'Guaranteed' },
      { cpuShares: 2048, cpuQuotaUs: 200_000, cpuPeriodUs: 100_000, memoryLimitBytes: 64 << 20, oomScoreAdj: -997 },
    ],
    ['all of the machine', { requests: { memory: '8Gi' } }, {}, { cpuShares: 2, oomScoreAdj: 3 }],
    ['critical for the node', {}, { qosClass: 'BestEffort', priority: 2_000_001_000 }, { cpuShares: 2, oomScoreAdj: -997 }],
  ];
  for (const [what, resources, more, expected] of cases) test(what, () => assert.deepEqual(of(resources, more), expected));
});

describe('swap and huge pages', () => {
  const traits = { cgroupVersion: 'v2' as const, hugepageSizes: ['2MB', '1GB'], hasAppArmor: false, hasSelinux: false };
  const GiB = 2 ** 30;
  const of = (resources: object, { qosClass = 'Burstable', ...more }: { qosClass?: string; swapBehavior?: 'NoSwap' } = {}) => {
    const { pod, container } = podWith({ resources });
    const swapping = { ...traits, swapBytes: 4 * GiB, swapBehavior: 'LimitedSwap' as const, ...more };
    return planResources({ ...pod, status: { ...pod.status, qosClass } }, container, { ...facts, traits: swapping });
  };

  test('a burstable container swaps by its share of the node’s memory, where pods may swap', () => {
    const resources = { requests: { memory: '1Gi' }, limits: { memory: '2Gi' } };
    assert.equal(of(resources).memorySwapLimitBytes, 2 * GiB + GiB / 2);
    assert.equal(of(resources, { swapBehavior: 'NoSwap' }).memorySwapLimitBytes, undefined);
    assert.equal(of(resources, { qosClass: 'Guaranteed' }).memorySwapLimitBytes, undefined);
    assert.equal(of({ requests: { memory: '1Gi' }, limits: { memory: '1Gi' } }).memorySwapLimitBytes, undefined);
    assert.equal(of({ requests: { memory: '1Gi' } }).memorySwapLimitBytes, undefined);
  });

  test('huge pages are limited for each size of the node’s', () => {
    const limits = { memory: '1Gi', 'hugepages-2Mi': '4Mi' };
    assert.deepEqual(of({ limits, requests: limits }).hugepageLimits, [
      { pageSize: '2MB', limitBytes: 4 << 20 },
      { pageSize: '1GB', limitBytes: 0 },
    ]);
    assert.equal(of({ limits: { memory: '1Gi' } }).hugepageLimits, undefined);
  });

  test('who asks for no huge pages has none where the node has some; of a pod’s own its containers share', () => {
    const full: NodeFacts = {
      ...facts,
      allocatable: { ...facts.allocatable, 'hugepages-2Mi': '64Mi' },
      traits: { ...traits, swapBytes: 0, swapBehavior: 'NoSwap' },
    };
    const plan = (resources?: object) => {
      const { pod, container } = podWith({}, resources ? { resources } : {});
      return [planResources(pod, container, full).hugepageLimits, planPodResources(pod).hugepageLimits];
    };
    const none = ['2MB', '1GB'].map(pageSize => ({ pageSize, limitBytes: 0 }));
    assert.deepEqual(plan(), [none, undefined]);
    assert.deepEqual(plan({ limits: { memory: '1Gi' } }), [none, undefined]);
    const pages = { 'hugepages-2Mi': '8Mi' };
    assert.deepEqual(plan({ requests: pages, limits: pages }), [none.slice(1), [{ pageSize: '2MB', limitBytes: 8 << 20 }]]);
  });

  test('all of a container goes when it has no memory left, where the kernel has that', () => {
    assert.deepEqual(of({}).unified, { 'memory.oom.group': '1' });
    const { pod, container } = podWith({});
    assert.equal(planResources(pod, container, facts).unified, undefined);
  });
});

describe('planSecurity', () => {
  const of = (own: object, shared: object = {}) => {
    const { pod, container } = podWith({ securityContext: own }, { securityContext: shared });
    return planSecurity(pod, container, { seccompDirectory: '/seccomp', hasSelinux: true });
  };
  const cases: [string, object, object, Partial<SecurityConfig>][] = [
    [
      'nothing: confined by the default profile',
      {},
      {},
      { seccomp: 'runtime/default', noNewPrivileges: false, readOnlyRoot: false, runAsNonRoot: false },
    ],
    [
      'the container over the pod',
      { runAsUser: 5, runAsNonRoot: false },
      { runAsUser: 4, runAsGroup: 6, runAsNonRoot: true },
      { user: '5', runAsGroup: 6, runAsNonRoot: false },
    ],
    ['groups', {}, { supplementalGroups: [7, 8], fsGroup: 9 }, { supplementalGroups: [7, 8, 9] }],
    ['no groups of the image', {}, { supplementalGroupsPolicy: 'Strict' }, { supplementalGroupsPolicy: 'Strict' }],
    ['a loaded profile', { appArmorProfile: { type: 'Localhost', localhostProfile: 'x' } }, {}, { apparmor: 'localhost/x' }],
    ['the default one', {}, { appArmorProfile: { type: 'RuntimeDefault' } }, { apparmor: 'runtime/default' }],
    ['labels', { seLinuxOptions: { type: 't' } }, { seLinuxOptions: { level: 's0', type: 'u' } }, { selinux: { type: 't', level: 's0' } }],
    ['privileged', { privileged: true }, {}, { privileged: true, seccomp: 'unconfined' }],
    [
      'no escalation, read-only root',
      { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true },
      {},
      { noNewPrivileges: true, readOnlyRoot: true },
    ],
    ['capabilities', { capabilities: { add: ['NET_ADMIN'], drop: ['ALL'] } }, {}, { capabilities: { add: ['NET_ADMIN'], drop: ['ALL'] } }],
    ['no filter', { seccompProfile: { type: 'Unconfined' } }, { seccompProfile: { type: 'RuntimeDefault' } }, { seccomp: 'unconfined' }],
    [
      'a profile of the node',
      {},
      { seccompProfile: { type: 'Localhost', localhostProfile: 'a/b.json' } },
      { seccomp: '/seccomp/a/b.json' },
    ],
    [
      'a profile never outside',
      {},
      { seccompProfile: { type: 'Localhost', localhostProfile: '../../etc/x' } },
      { seccomp: '/seccomp/etc/x' },
    ],
    ['all of /proc', { procMount: 'Unmasked' }, {}, { maskedPaths: [], readonlyPaths: [] }],
  ];
  for (const [what, own, shared, expected] of cases)
    test(what, () => {
      const security = of(own, shared);
      for (const [key, value] of Object.entries(expected)) assert.deepEqual(security[key as keyof SecurityConfig], value, key);
    });
});

describe('LocalContainerPlanner', () => {
  const podDirectory = mkdtempSync(join(tmpdir(), 'umiak-planner-'));
  after(() => rmSync(podDirectory, { recursive: true, force: true }));
  const planner = new LocalContainerPlanner({
    objects: { configMap: async () => undefined, secret: async () => undefined },
    services: () => [],
    facts,
    podDirectory,
    onChange: () => {},
  });
  const plan = (container: object, attempt = 0) =>
    planner.plan({
      ...podWith(container, { volumes: [{ name: 'data', emptyDir: {} }] }),
      sandbox,
      volumes: new Map([['data', { path: join(podDirectory, 'data') }]]),
      image: 'sha256:1',
      attempt,
    });

  test('every user may write the termination file, and each instance has its own', async () => {
    const { mounts } = await plan({ terminationMessagePath: '/dev/last' }, 1);
    const file = terminationFile(podDirectory, 'u', 'c', 1);
    assert.deepEqual(mounts, [{ source: file, destination: '/dev/last' }]);
    assert.equal(statSync(file).mode & 0o777, 0o666);
    writeFileSync(file, 'left by an instance that never started');
    await plan({}, 1);
    assert.equal(statSync(file).size, 0);
  });

  test('volumes with their access and propagation', async () => {
    mkdirSync(join(podDirectory, 'data'), { recursive: true });
    const { mounts } = await plan({
      volumeMounts: [
        { name: 'data', mountPath: '/a', readOnly: true },
        { name: 'data', mountPath: '/b', mountPropagation: 'HostToContainer' },
      ],
    });
    const source = join(podDirectory, 'data');
    assert.deepEqual(mounts?.slice(0, 2), [
      { source, destination: '/a', readOnly: true, propagation: 'private' },
      { source, destination: '/b', readOnly: false, propagation: 'rslave' },
    ]);
  });

  test('a missing ConfigMap is named', () =>
    assert.rejects(plan({ envFrom: [{ configMapRef: { name: 'none' } }] }), { reason: 'NotFound', message: 'configmap "none" not found' }));

  test('a variable of subPathExpr that is missing is named', () =>
    assert.rejects(plan({ volumeMounts: [{ name: 'data', mountPath: '/a', subPathExpr: 'x/$(NOPE)' }] }), {
      reason: 'NotFound',
      message: /there is no variable NOPE/,
    }));
});
