import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { ALL_CAPABILITIES } from './capabilities.ts';
import type { ContainerConfig, SandboxConfig } from './engine.ts';
import { planAnnotations, planArgs, planEnv, planOciSpec, type SpecInput } from './oci-spec.ts';
import type { OciSpec } from './oci-types.ts';

const GOLDEN = new URL('./oci-spec.golden.txt', import.meta.url);
const DASHES = '-'.repeat(40);

type Case = Partial<{
  sandbox: Partial<SandboxConfig>;
  container: Partial<ContainerConfig>;
  image: SpecInput['image'];
  namespaces: SpecInput['namespaces'];
  host: Partial<SpecInput['host']>;
  devices: SpecInput['devices'];
}>;

function plan({ sandbox, container, image = { Cmd: ['/app'] }, namespaces, host, devices = [] }: Case): unknown {
  return planOciSpec({
    sandbox: {
      owner: 'node',
      metadata: { name: 'pod', namespace: 'ns', uid: 'u', attempt: 0 },
      network: 'pod',
      hostname: 'pod',
      ...sandbox,
    },
    container: { sandboxId: 's', metadata: { name: 'c', attempt: 0 }, image: 'i', ...container },
    image,
    user: { uid: 0, gid: 0, additionalGids: [0], home: '/root' },
    host: { capabilities: new Set(ALL_CAPABILITIES), cgroupVersion: 'v2', rlimitCeilings: {}, ...host },
    rootfs: '/data/c/merged',
    cgroupsPath: '/umiak/c',
    namespaces: namespaces ?? { network: '/run/n.net', ipc: '/run/n.ipc', uts: '/run/n.uts' },
    files: { hosts: '/data/s/hosts', hostname: '/data/s/hostname', resolvConf: '/data/s/resolv.conf', shm: '/data/s/shm' },
    devices,
  });
}

/** Each case: a line of JSON, a line of dashes, the configuration. `UPDATE=1` rewrites what is expected. */
test('golden configurations', () => {
  const cases = readFileSync(GOLDEN, 'utf8').split('\n\n').filter(Boolean);
  const written = cases.map(text => {
    const input = text.split('\n', 1)[0]!;
    return `${input}\n${DASHES}\n${JSON.stringify(plan(JSON.parse(input) as Case), undefined, 1)}`;
  });
  if (process.env.UPDATE) writeFileSync(GOLDEN, `${written.join('\n\n')}\n`);
  for (const [i, text] of written.entries()) assert.equal(text, cases[i]!.trimEnd());
});

test('what runs: entrypoint, cmd, command, args', () => {
  const image = { Entrypoint: ['/entry'], Cmd: ['image'] };
  for (const [container, wanted] of [
    [{}, '/entry image'],
    [{ args: ['mine'] }, '/entry mine'],
    [{ command: ['/mine'] }, '/mine'],
    [{ command: ['/mine'], args: ['too'] }, '/mine too'],
  ] as const)
    assert.equal(planArgs({ image: 'i', ...(container as object) }, image).join(' '), wanted);
  assert.throws(() => planArgs({ image: 'i' }, {}), { reason: 'Invalid' });
});

test("environment: the container's wins over the image's", () => {
  const env = planEnv(
    {
      env: [
        { name: 'A', value: '2=3' },
        { name: 'HOME', value: '/h' },
      ],
    },
    { Env: ['A=1', 'PATH=/x'] },
    'pod',
    '/root',
  );
  assert.deepEqual(env, ['PATH=/x', 'HOSTNAME=pod', 'A=2=3', 'HOME=/h']);
});

test('annotations: nothing that a runtime acts on', () => {
  const wanted = { 'io.kubernetes.pod.name': 'p' };
  assert.deepEqual(
    planAnnotations({
      ...wanted,
      'run.oci.seccomp_bpf_data': 'x',
      'run.oci.hooks.stdout': '/x',
      'org.systemd.property.X': 'y',
      'io.katacontainers.z': 'z',
      'dev.gvisor.spec.mount.x.type': 'z',
      'io.kubernetes.cri.container-type': 'container',
      'io.kubernetes.cri.sandbox-id': 'victim',
      'io.kubernetes.cri-o.SandboxID': 'victim',
      'io.kubernetes.docker.type': 'container',
      'io.kubernetes.sandbox.id': 'victim',
    }),
    wanted,
  );
});

test('an init program comes before all, an own environment inherits nothing, a terminal has its size', () => {
  const image = { Cmd: ['/app'], Env: ['A=image'] };
  const container = {
    init: '/usr/bin/tini',
    ownEnv: true,
    env: [{ name: 'B', value: '1' }],
    tty: true,
    consoleSize: { rows: 5, columns: 9 },
  };
  const { process, mounts } = plan({ container, image }) as OciSpec;
  assert.deepEqual(
    [process.args, process.env],
    [
      ['/sbin/docker-init', '--', '/app'],
      ['B=1', 'HOME=/root'],
    ],
  );
  assert.deepEqual(process.consoleSize, { height: 5, width: 9 });
  assert.equal(mounts.find(({ destination }) => destination === '/sbin/docker-init')?.source, '/usr/bin/tini');
});

test('a /dev/shm of its own, where nobody is to share it', () => {
  const shmOf = (sandbox: object) =>
    (plan({ sandbox, container: {} }) as OciSpec).mounts.find(({ destination }) => destination === '/dev/shm');
  const own = { destination: '/dev/shm', type: 'tmpfs', source: 'shm' };
  const options = ['nosuid', 'noexec', 'nodev', 'mode=1777'];
  const has = (sandbox: object) => ({ ...shmOf(sandbox), options: [...(shmOf(sandbox)?.options ?? [])].sort() });
  assert.deepEqual(has({ shm: 'container' }), { ...own, options: [...options, `size=${64 << 20}`].sort() });
  assert.deepEqual(has({ shm: 'container', shmSizeBytes: 4096 }), { ...own, options: [...options, 'size=4096'].sort() });
  assert.equal(shmOf({ shm: 'container', ipc: 'host' })?.source, '/dev/shm');
});

test('limits that only one kernel has, a domain name, and whose control groups are seen', () => {
  const resources = { memorySwappiness: 0, isOomKillDisabled: true, cpuRealtimeRuntimeUs: 5, io: { weight: 10 } };
  const { linux } = plan({ sandbox: { domainname: 'ex.org', sysctls: { 'net.x': '1' } }, container: { resources } }) as OciSpec;
  assert.deepEqual(linux.resources.memory, { swappiness: 0, disableOOMKiller: true });
  assert.deepEqual([linux.resources.cpu, linux.resources.blockIO], [{ realtimeRuntime: 5 }, { weight: 10 }]);
  assert.deepEqual(linux.sysctl, { 'kernel.domainname': 'ex.org', 'net.x': '1' });
  assert.throws(() => plan({ container: { resources: { io: { readBps: [{ path: '/dev/null', value: 1 }] } } } }), /is not a block device/);
  const sees = (container: Partial<ContainerConfig>, cgroupVersion: 'v1' | 'v2') =>
    (plan({ container, host: { cgroupVersion } }) as OciSpec).linux.namespaces.some(({ type }) => type === 'cgroup');
  assert.deepEqual(
    [sees({}, 'v2'), sees({}, 'v1'), sees({ cgroupNamespace: 'host' }, 'v2'), sees({ cgroupNamespace: 'private' }, 'v1')],
    [true, false, false, true],
  );
});

test('bad mounts are refused', () => {
  for (const mount of [
    { source: '/x', destination: 'relative' },
    { source: '/x', destination: '/' },
    { source: '/x', destination: '/a/../..' },
    { source: 'relative', destination: '/x' },
  ])
    assert.throws(() => plan({ container: { mounts: [mount] } }), { reason: 'Invalid' });
});
