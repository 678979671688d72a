import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Sandbox, SandboxConfig } from '#engine/engine.ts';
import { planAuth } from './plan-auth.ts';
import { planContainer } from './plan-container.ts';
import { planResources } from './plan-resources.ts';
import { planSandbox } from './plan-sandbox.ts';
import { planSecurity } from './plan-security.ts';
import { fromSignal, toSignal } from './signals.ts';
import type {
  AuthConfig,
  ContainerConfig,
  LinuxContainerResources,
  LinuxContainerSecurityContext,
  PodSandboxConfig,
  Signal,
} from './types.gen.ts';

const metadata = { name: 'web', namespace: 'default', uid: 'u-1', attempt: 2 };
const hostDns = { servers: ['10.0.0.1'], searches: ['lan'], options: [] };
const mapping = { containerId: 0, hostId: 100_000, length: 65_536 };

describe('planSandbox', () => {
  const plan = (more: Partial<PodSandboxConfig>, network: 'pod' | 'cni' = 'pod', runtimeHandler = '') =>
    planSandbox({ metadata, ...more }, { network, runtimeHandler, hostDns });
  const options = (namespaceOptions: object): Partial<PodSandboxConfig> => ({ linux: { securityContext: { namespaceOptions } } });
  const cases: [what: string, given: Partial<PodSandboxConfig>, planned: Partial<SandboxConfig>][] = [
    ['nothing said: everything is shared in the pod', {}, { network: 'pod', pid: 'pod', ipc: 'pod', dns: hostDns, owner: 'cri', metadata }],
    ['as the kubelet asks', options({ pid: 'CONTAINER' }), { network: 'pod', pid: 'container', ipc: 'pod' }],
    ['in the machine', options({ network: 'NODE', pid: 'NODE', ipc: 'NODE' }), { network: 'host', pid: 'host', ipc: 'host' }],
    [
      'users of its own',
      options({ usernsOptions: { mode: 'POD', uids: [mapping], gids: [mapping] } }),
      { userNamespace: { uids: [mapping], gids: [mapping] } },
    ],
    ['no users of its own', options({ usernsOptions: { mode: 'NODE' } }), {}],
    ['its DNS', { dnsConfig: { servers: ['1.1.1.1'] } }, { dns: { servers: ['1.1.1.1'], searches: [], options: [] } }],
    ["an empty DNS, which is the machine's", { dnsConfig: {} }, { dns: hostDns }],
    ['a parent group', { linux: { cgroupParent: '/kubepods/pod1', resources: { cpuShares: 5 } } }, { cgroupParent: '/kubepods/pod1' }],
    ['a parent group without its slash', { linux: { cgroupParent: 'boats' } }, { cgroupParent: '/boats' }],
    [
      'limits with overhead',
      {
        linux: { resources: { memoryLimitInBytes: 100, cpuQuota: 5, oomScoreAdj: 9 }, overhead: { memoryLimitInBytes: 20, cpuShares: 3 } },
      },
      { resources: { memoryLimitBytes: 120, cpuQuotaUs: 5 } },
    ],
    [
      'ports of the machine',
      {
        portMappings: [
          { containerPort: 80, hostPort: 8080 },
          { containerPort: 53, hostPort: 53, protocol: 'UDP', hostIp: '127.0.0.1' },
          { containerPort: 9 },
        ],
      },
      {
        ports: [
          { protocol: 'tcp', containerPort: 80, hostPort: 8080 },
          { protocol: 'udp', containerPort: 53, hostPort: 53, hostIp: '127.0.0.1' },
        ],
      },
    ],
    [
      'names and places',
      { hostname: 'h', logDirectory: '/logs', labels: { a: '1' }, annotations: { b: '2' }, linux: { sysctls: { 'net.x': '1' } } },
      { hostname: 'h', logDirectory: '/logs', labels: { a: '1' }, annotations: { b: '2' }, sysctls: { 'net.x': '1' } },
    ],
  ];
  for (const [what, given, planned] of cases) it(`plans ${what}`, () => assert.partialDeepStrictEqual(plan(given), planned));

  it('gives a sandbox without a parent a group of its own, and takes network and handler as configured', () => {
    const { cgroupParent, network, runtime } = plan({}, 'cni', 'runc');
    assert.match(cgroupParent ?? '', /^cri\/[0-9a-f]{16}$/);
    assert.deepEqual([network, runtime], ['cni', 'runc']);
    assert.notEqual(plan({ metadata: { ...metadata, attempt: 3 } }).cgroupParent, cgroupParent);
  });

  const refused: [given: Partial<PodSandboxConfig>, why: RegExp][] = [
    [{ metadata: { ...metadata, name: '' } }, /^config\.metadata\.name: must not be empty/],
    [options({ network: 'CONTAINER' }), /namespace_options\.network: CONTAINER is not possible/],
    [options({ ipc: 'TARGET' }), /namespace_options\.ipc: TARGET/],
    [options({ usernsOptions: { mode: 'POD' } }), /userns_options\.uids: must not be empty/],
    [options({ usernsOptions: { mode: 'NODE', uids: [mapping] } }), /mode NODE has no mappings/],
    [options({ usernsOptions: { mode: 'TARGET', uids: [mapping], gids: [mapping] } }), /userns_options\.mode: TARGET/],
    [{ portMappings: [{ containerPort: 70_000, hostPort: 1 }] }, /container_port: 70000 is no port/],
    [{ windows: { securityContext: { runAsUsername: 'x' } } }, /config\.windows: this machine runs Linux/],
  ];
  for (const [given, why] of refused)
    it(`refuses ${why.source}`, () => assert.throws(() => plan(given), { name: 'UmiakError', reason: 'Invalid', message: why }));
});

describe('planContainer', () => {
  const sandbox = (config: Partial<SandboxConfig> = {}): Sandbox => ({
    id: 's1',
    state: 'ready',
    createdAtMs: 0,
    config: { owner: 'cri', metadata, network: 'pod', pid: 'container', ...config },
  });
  const images = new Map([
    ['one', { imageId: 'sha256:1', lowerDirs: ['/l/1'] }],
    ['two', { imageId: 'sha256:2', lowerDirs: ['/l/2', '/l/1'] }],
  ]);
  const plan = (more: Partial<ContainerConfig>, config: Partial<SandboxConfig> = {}) =>
    planContainer({ metadata: { name: 'c' }, image: { image: 'sha256:abc' }, ...more }, sandbox(config), images);

  it('takes everything over', () => {
    const planned = plan({
      image: { image: 'sha256:abc', userSpecifiedImage: 'nginx' },
      command: ['sh'],
      args: ['-c', 'true'],
      envs: [{ key: 'A', value: Buffer.from('é=1') }, { key: 'B' }],
      workingDir: '/w',
      mounts: [{ hostPath: '/h', containerPath: 'c', readonly: true, recursiveReadOnly: true }],
      devices: [{ hostPath: '/dev/null', containerPath: '/dev/void', permissions: 'r' }],
      CDIDevices: [{ name: 'v.com/gpu=0' }],
      annotations: { 'cdi.k8s.io/x': 'v.com/gpu=0,v.com/gpu=1' },
      logPath: 'c/0.log',
      tty: true,
      stdin: true,
      stdinOnce: true,
      stopSignal: 'SIGRTMINPLUS3',
    });
    assert.deepEqual(planned, {
      sandboxId: 's1',
      metadata: { name: 'c', attempt: 0 },
      image: 'sha256:abc',
      imageName: 'nginx',
      command: ['sh'],
      args: ['-c', 'true'],
      env: [
        { name: 'A', value: 'é=1' },
        { name: 'B', value: '' },
      ],
      workingDir: '/w',
      mounts: [{ source: '/h', destination: '/c', readOnly: true, recursiveReadOnly: true, propagation: 'private' }],
      devices: [{ path: '/dev/null', containerPath: '/dev/void', permissions: 'r' }],
      cdiDevices: ['v.com/gpu=0', 'v.com/gpu=1'],
      resources: {},
      security: {},
      labels: {},
      annotations: { 'cdi.k8s.io/x': 'v.com/gpu=0,v.com/gpu=1' },
      logPath: 'c/0.log',
      tty: true,
      stdin: true,
      stdinOnce: true,
      stopSignal: 'SIGRTMIN+3',
    });
  });

  it('mounts images by their layers, and takes the ids of the sandbox', () => {
    const options = ['noexec', 'nosuid', 'nodev'];
    assert.deepEqual(plan({ mounts: ['one', 'two'].map(image => ({ containerPath: '/i', image: { image } })) }).mounts, [
      { destination: '/i', readOnly: true, options, imageId: 'sha256:1', source: '/l/1' },
      { destination: '/i', readOnly: true, options, imageId: 'sha256:2', source: 'sha256:2', type: 'overlay', lowerDirs: ['/l/2', '/l/1'] },
    ]);
    const mounts = [{ hostPath: '/h', containerPath: '/c', uidMappings: [mapping], gidMappings: [mapping] }];
    assert.equal(plan({ mounts }, { userNamespace: { uids: [mapping], gids: [mapping] } }).mounts?.length, 1);
    assert.throws(() => plan({ mounts }), /mounts\[\/c\]\.uidMappings: must be the sandbox's own/);
  });

  const pid = (namespaceOptions: object): Partial<ContainerConfig> => ({ linux: { securityContext: { namespaceOptions } } });
  const pids: [given: Partial<ContainerConfig>, ofSandbox: 'pod' | 'host' | 'container', planned: object | RegExp][] = [
    [pid({ pid: 'CONTAINER' }), 'container', {}],
    [pid({}), 'pod', {}],
    [pid({ pid: 'NODE' }), 'host', {}],
    [pid({ pid: 'CONTAINER' }), 'pod', { ownPid: true }],
    [pid({ pid: 'TARGET', targetId: 'x' }), 'container', { pidOf: 'x' }],
    [pid({ pid: 'TARGET' }), 'container', /target_id: must not be empty/],
    [pid({ pid: 'NODE' }), 'container', /pid: NODE is not how the sandbox was made/],
    [{}, 'host', {}],
  ];
  for (const [given, ofSandbox, planned] of pids)
    it(`plans ${JSON.stringify(given)} in a sandbox with PID ${ofSandbox}`, () => {
      if (planned instanceof RegExp) return assert.throws(() => plan(given, { pid: ofSandbox }), planned);
      const { pidOf, ownPid } = plan(given, { pid: ofSandbox });
      assert.deepEqual(JSON.parse(JSON.stringify({ pidOf, ownPid })), planned);
    });

  const refused: [given: Partial<ContainerConfig>, why: RegExp][] = [
    [{ metadata: {} }, /metadata\.name: must not be empty/],
    [{ image: {} }, /image\.image: must not be empty/],
    [{ envs: [{ key: 'A=B' }] }, /envs\.key: "A=B" is no name/],
    [{ mounts: [{ hostPath: '/x' }] }, /container_path: must not be empty/],
    [{ mounts: [{ containerPath: '/x' }] }, /mounts\[\/x\]\.host_path: must not be empty/],
    [{ mounts: [{ containerPath: '/x', hostPath: '/x', recursiveReadOnly: true }] }, /recursive_read_only: needs readonly/],
    [
      {
        mounts: [
          { containerPath: '/x', hostPath: '/x', readonly: true, recursiveReadOnly: true, propagation: 'PROPAGATION_BIDIRECTIONAL' },
        ],
      },
      /needs the propagation PROPAGATION_PRIVATE/,
    ],
    [{ devices: [{}] }, /devices\.host_path: must not be empty/],
    [{ windows: {} }, /config\.windows/],
  ];
  for (const [given, why] of refused)
    it(`refuses ${why.source}`, () => assert.throws(() => plan(given), { reason: 'Invalid', message: why }));
});

describe('planSecurity', () => {
  const cases: [what: string, given: LinuxContainerSecurityContext | undefined, planned: object][] = [
    ['no context', undefined, {}],
    ['an empty context', {}, { seccomp: 'unconfined', maskedPaths: [], readonlyPaths: [], noNewPrivileges: false }],
    ['a privileged one', { privileged: true, seccomp: {}, maskedPaths: ['/proc/x'] }, { privileged: true, seccomp: 'unconfined' }],
    ['the default profile', { seccomp: { profileType: 'RuntimeDefault' } }, { seccomp: 'runtime/default' }],
    ['a profile by its zero', { seccomp: {} }, { seccomp: 'runtime/default' }],
    ['a local profile', { seccomp: { profileType: 'Localhost', localhostRef: 'localhost//p.json' } }, { seccomp: '/p.json' }],
    ['an old profile', { seccompProfilePath: 'docker/default' }, { seccomp: 'runtime/default' }],
    ['an old local profile', { seccompProfilePath: 'localhost//p.json' }, { seccomp: '/p.json' }],
    ['AppArmor', { apparmor: { profileType: 'Localhost', localhostRef: 'boat' } }, { apparmor: 'boat' }],
    ['old AppArmor', { apparmorProfile: 'localhost/boat' }, { apparmor: 'boat' }],
    ['SELinux', { selinuxOptions: { type: 'spc_t', level: '' } }, { selinux: { type: 'spc_t' } }],
    ['root', { runAsUser: {} }, { user: '0' }],
    ['a user and a group', { runAsUser: { value: 5 }, runAsGroup: { value: 6 } }, { user: '5', runAsGroup: 6 }],
    ['a name', { runAsUsername: 'web' }, { user: 'web' }],
    [
      'groups',
      { supplementalGroups: [7], supplementalGroupsPolicy: 'Strict' },
      { supplementalGroups: [7], supplementalGroupsPolicy: 'Strict' },
    ],
    [
      'capabilities',
      { capabilities: { addCapabilities: ['A'], dropCapabilities: ['ALL'], addAmbientCapabilities: ['B'] } },
      { capabilities: { add: ['A'], drop: ['ALL'], addAmbient: ['B'] } },
    ],
    ['paths', { maskedPaths: ['/m'], readonlyPaths: ['/r'] }, { maskedPaths: ['/m'], readonlyPaths: ['/r'] }],
    ['switches', { noNewPrivs: true, readonlyRootfs: true }, { noNewPrivileges: true, readOnlyRoot: true }],
  ];
  for (const [what, given, planned] of cases) it(`plans ${what}`, () => assert.partialDeepStrictEqual(planSecurity(given), planned));

  it('refuses profiles without a place', () => {
    assert.throws(() => planSecurity({ seccomp: { profileType: 'Localhost' } }), /seccomp\.localhost_ref: must not be empty/);
    assert.throws(() => planSecurity({ seccomp: { profileType: 'Localhost', localhostRef: 'p.json' } }), /no absolute path/);
    assert.throws(() => planSecurity({ runAsGroup: { value: 1 } }), /run_as_group: needs run_as_user/);
  });
});

describe('planResources', () => {
  const cases: [given: LinuxContainerResources | undefined, planned: object][] = [
    [undefined, {}],
    [{}, { oomScoreAdj: 0 }],
    [
      { cpuQuota: -1, cpuPeriod: 100_000, cpuShares: 2 },
      { cpuQuotaUs: -1, cpuPeriodUs: 100_000, cpuShares: 2, oomScoreAdj: 0 },
    ],
    [
      { memoryLimitInBytes: 10, memorySwapLimitInBytes: 20, oomScoreAdj: -5 },
      { memoryLimitBytes: 10, memorySwapLimitBytes: 20, oomScoreAdj: -5 },
    ],
    [{ memorySwapLimitInBytes: -1 }, { memorySwapLimitBytes: -1, oomScoreAdj: 0 }],
    [
      { cpusetCpus: '0-1', cpusetMems: '0' },
      { cpusetCpus: '0-1', cpusetMems: '0', oomScoreAdj: 0 },
    ],
    [{ hugepageLimits: [{ pageSize: '2MB', limit: 5 }] }, { hugepageLimits: [{ pageSize: '2MB', limitBytes: 5 }], oomScoreAdj: 0 }],
    [{ unified: { 'memory.high': '5' } }, { unified: { 'memory.high': '5' }, oomScoreAdj: 0 }],
  ];
  for (const [given, planned] of cases)
    it(`plans ${JSON.stringify(given)}`, () => {
      assert.deepEqual(planResources(given), planned);
    });

  it('refuses swap that is less than memory', () => {
    assert.throws(
      () => planResources({ memoryLimitInBytes: 10, memorySwapLimitInBytes: 5 }),
      /memory_swap_limit_in_bytes: 5 is memory and swap/,
    );
  });
});

describe('planAuth', () => {
  const basic = Buffer.from('ada:l:o').toString('base64');
  const cases: [image: string, given: AuthConfig | undefined, planned: object | undefined][] = [
    ['r.example/a', undefined, undefined],
    ['r.example/a', {}, undefined],
    ['r.example/a', { username: 'ada', password: 'x' }, { username: 'ada', password: 'x' }],
    ['r.example/a', { auth: basic }, { username: 'ada', password: 'l:o' }],
    ['r.example/a', { identityToken: 'i' }, { identityToken: 'i' }],
    ['r.example/a', { registryToken: 't' }, { registryToken: 't' }],
    ['r.example/a', { registryToken: 't', serverAddress: 'https://r.example/v2/' }, { registryToken: 't' }],
    ['r.example/a', { registryToken: 't', serverAddress: 'other.example' }, undefined],
    ['busybox', { registryToken: 't', serverAddress: 'https://index.docker.io/v1/' }, { registryToken: 't' }],
  ];
  for (const [image, given, planned] of cases)
    it(`plans ${JSON.stringify(given)} for ${image}`, () => assert.deepEqual(planAuth(image, given), planned));
  it('refuses what is no login', () => assert.throws(() => planAuth('a', { auth: 'AAAA' }), /auth\.auth: is not user:password/));
});

describe('signals', () => {
  const pairs: [cri: Signal, image: string][] = [
    ['SIGTERM', 'SIGTERM'],
    ['SIGRTMIN', 'SIGRTMIN'],
    ['SIGRTMINPLUS3', 'SIGRTMIN+3'],
    ['SIGRTMAXMINUS1', 'SIGRTMAX-1'],
  ];
  for (const [cri, image] of pairs)
    it(`calls ${image} ${cri}`, () =>
      assert.deepEqual([fromSignal(cri), toSignal(image), toSignal(image.slice(3).toLowerCase())], [image, cri, cri]));
  it("leaves what it has no name for the image's own", () => {
    assert.deepEqual(
      [fromSignal('RUNTIME_DEFAULT'), fromSignal(undefined), toSignal('15'), toSignal(undefined)],
      [undefined, undefined, 'RUNTIME_DEFAULT', 'RUNTIME_DEFAULT'],
    );
  });
});
