import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { cgroupParentOf, hostnameOf, SandboxPlanner } from './sandbox-config.ts';
import { podOf, sidecar } from './testing.ts';

const planner = new SandboxPlanner({
  clusterDns: '10.42.0.1',
  clusterDomain: 'cluster.local',
  hostDns: { servers: ['192.0.2.53'], searches: ['example.com'], options: ['edns0'] },
  podLogDirectory: '/var/log/pods',
});
const plan = (spec: Record<string, unknown> = {}) => planner.plan(podOf(spec), 0);

describe('resolv.conf', () => {
  const cluster = ['default.svc.cluster.local', 'svc.cluster.local', 'cluster.local', 'example.com'];
  const dnsConfig = {
    nameservers: ['192.0.2.1', '10.42.0.1'],
    searches: ['own'],
    options: [{ name: 'ndots', value: '2' }, { name: 'debug' }],
  };
  const cases: [string, Record<string, unknown>, { servers: string[]; searches: string[]; options: string[] }][] = [
    ['ClusterFirst', {}, { servers: ['10.42.0.1'], searches: cluster, options: ['ndots:5'] }],
    ["the machine's for its network", { hostNetwork: true }, { servers: ['192.0.2.53'], searches: ['example.com'], options: ['edns0'] }],
    [
      'ClusterFirstWithHostNet',
      { hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' },
      { servers: ['10.42.0.1'], searches: cluster, options: ['ndots:5'] },
    ],
    ['Default', { dnsPolicy: 'Default' }, { servers: ['192.0.2.53'], searches: ['example.com'], options: ['edns0'] }],
    [
      'what a pod adds comes last, its options win, nothing twice',
      { dnsConfig },
      { servers: ['10.42.0.1', '192.0.2.1'], searches: [...cluster, 'own'], options: ['ndots:2', 'debug'] },
    ],
    [
      'None: only what the pod says',
      { dnsPolicy: 'None', dnsConfig },
      { servers: ['192.0.2.1', '10.42.0.1'], searches: ['own'], options: ['ndots:2', 'debug'] },
    ],
  ];
  for (const [name, spec, expected] of cases) test(name, () => assert.deepEqual(plan(spec).dns, expected));
});

describe('a sandbox', () => {
  test("has the pod's names, its log directory, labels that tools look for", () => {
    const { hostname, metadata, labels, logDirectory, owner } = plan();
    assert.deepEqual(
      { hostname, metadata, owner },
      { hostname: 'p', metadata: { name: 'p', namespace: 'default', uid: 'uid-1', attempt: 0 }, owner: 'node' },
    );
    assert.equal(labels?.['io.kubernetes.pod.uid'], 'uid-1');
    assert.equal(logDirectory, '/var/log/pods/default_p_uid-1');
  });

  const namespaces: [Record<string, unknown>, string[]][] = [
    [{}, ['pod', 'container', 'pod']],
    [{ shareProcessNamespace: true }, ['pod', 'pod', 'pod']],
    [{ hostNetwork: true, hostPID: true, hostIPC: true }, ['host', 'host', 'host']],
  ];
  for (const [spec, expected] of namespaces)
    test(`namespaces of ${JSON.stringify(spec)}`, () => {
      const { network, pid, ipc } = plan(spec);
      assert.deepEqual([network, pid, ipc], expected);
    });

  test('publishes the ports of the containers that stay', () => {
    const ports = (hostPort: number, more = {}) => [{ containerPort: 80, hostPort, ...more }];
    const spec = {
      initContainers: [{ name: 'i', image: 'i', ports: ports(1) }, sidecar('s', { ports: ports(2) })],
      containers: [{ name: 'main', image: 'i', ports: [...ports(3, { hostIP: '127.0.0.1', protocol: 'UDP' }), { containerPort: 90 }] }],
    };
    assert.deepEqual(plan(spec).ports, [
      { protocol: 'tcp', containerPort: 80, hostPort: 2 },
      { protocol: 'udp', containerPort: 80, hostPort: 3, hostIp: '127.0.0.1' },
    ]);
    assert.equal(plan({ ...spec, hostNetwork: true }).ports, undefined, "there they are the machine's already");
  });

  test('a pod of a subdomain has a full name, which may be its host name', () => {
    const { hostname, fqdn } = plan({ hostname: 'a', subdomain: 'sub' });
    assert.deepEqual([hostname, fqdn], ['a', 'a.sub.default.svc.cluster.local']);
    assert.equal(plan({ hostname: 'a', subdomain: 'sub', setHostnameAsFQDN: true }).hostname, 'a.sub.default.svc.cluster.local');
    assert.equal(plan({ setHostnameAsFQDN: true }).hostname, 'p');
    const overridden = plan({ hostname: 'a', subdomain: 'sub', hostnameOverride: 'any.name' });
    assert.deepEqual([overridden.hostname, overridden.fqdn], ['any.name', undefined]);
    assert.throws(() => plan({ hostname: 'a'.repeat(63), subdomain: 'sub', setHostnameAsFQDN: true }), {
      reason: 'Invalid',
      message: /64 characters is the max/,
    });
  });

  test('users of its own, and limits for all of its containers, if it asks for them', () => {
    assert.equal(plan({ hostUsers: false }).ownUsers, true);
    assert.equal(plan({ hostUsers: true }).ownUsers, undefined);
    assert.equal(plan().resources, undefined);
    assert.deepEqual(plan({ resources: { requests: { cpu: '500m' }, limits: { cpu: '1', memory: '64Mi' } } }).resources, {
      cpuShares: 512,
      cpuQuotaUs: 100_000,
      cpuPeriodUs: 100_000,
      memoryLimitBytes: 67_108_864,
    });
  });

  test('long names are cut to what a host name may be', () => {
    const name = `${'a'.repeat(62)}.b`;
    assert.equal(hostnameOf(podOf({}, { metadata: { name } })), 'a'.repeat(62));
    assert.equal(hostnameOf(podOf({ hostname: 'own' })), 'own');
  });

  test('lies in the tree of its quality of service', () => {
    const parent = (qosClass: string) => cgroupParentOf(podOf({}, { status: { qosClass } }));
    assert.deepEqual(['Guaranteed', 'Burstable', 'BestEffort'].map(parent), ['poduid-1', 'burstable/poduid-1', 'besteffort/poduid-1']);
  });
});
