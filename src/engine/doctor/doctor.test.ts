import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseCgroupLayout } from '#linux/cgroup.ts';
import { BUILT_IN_HANDLERS } from '../runtime-handlers.ts';
import { planControlGroups } from './control-groups.ts';
import { type DiskFacts, planDisk } from './disk.ts';
import type { Finding } from './finding.ts';
import { planKernel } from './kernel.ts';
import { type LimitFacts, planLimits } from './limits.ts';
import { parseListeners, parseUnixListeners } from './listeners.ts';
import { planNeighbours } from './neighbours.ts';
import { type NetworkFacts, planNetwork } from './network.ts';
import { planPrograms } from './programs.ts';
import { planSecurity } from './security.ts';
import { planTime } from './time.ts';

/** What is not well, as `about: state`; what is not well says what to do. */
function troubles(findings: Finding[]): string[] {
  const found = findings.filter(({ state }) => state !== 'ok');
  for (const { about, remedy } of found) assert.ok(remedy, `${about} has no remedy`);
  return found.map(({ about, state }) => `${about}: ${state}`);
}

describe('the kernel', () => {
  const capabilities = new Set(['CAP_NET_ADMIN', 'CAP_SYS_CHROOT', 'CAP_SYS_ADMIN', 'CAP_MKNOD', 'CAP_SYS_RESOURCE']);
  const facts = { release: '6.1.0-13-amd64', capabilities, namespaces: ['mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup', 'user'] };
  const cases: [name: string, given: Partial<Parameters<typeof planKernel>[0]>, expected: string[]][] = [
    ['all is there', {}, []],
    ['before pidfds', { release: '4.19.0' }, ['version: missing']],
    ['before cgroup.kill', { release: '5.10.0-26' }, ['version: fallsBack']],
    ['an unprivileged user', { capabilities: new Set() }, ['privileges: missing']],
    ['limits that can not be raised', { capabilities: new Set([...capabilities].slice(0, 4)) }, ['privileges: fallsBack']],
    ['no user namespaces', { maxUserNamespaces: 0 }, ['user namespaces: fallsBack']],
    ['few namespaces', { namespaces: ['mnt', 'uts'] }, ['namespaces: missing', 'user namespaces: fallsBack']],
  ];
  for (const [name, given, expected] of cases) test(name, () => assert.deepEqual(troubles(planKernel({ ...facts, ...given })), expected));
});

describe('control groups', () => {
  const v2 = parseCgroupLayout('1 0 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw');
  const v1 = parseCgroupLayout('1 0 0:1 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu');
  const hybrid = parseCgroupLayout(
    '1 0 0:1 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n2 0 0:2 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw',
  );
  const all = ['cpu', 'memory', 'pids', 'cpuset', 'hugetlb'];
  const ofV1 = [...all, 'devices', 'freezer', 'cpuacct'];
  const mountsHugetlb = [{ kind: 'mount' as const, target: '/h', source: 'cgroup', type: 'cgroup', options: ['hugetlb'], why: '' }];
  const cases: [name: string, given: Parameters<typeof planControlGroups>[0], expected: string[]][] = [
    ['v2 with all', { layout: v2, controllers: all, changes: [] }, []],
    [
      'v2 without memory, as on some boards',
      { layout: v2, controllers: ['cpu', 'pids', 'cpuset', 'hugetlb'], changes: [] },
      ['memory: missing'],
    ],
    ['none', { layout: parseCgroupLayout(''), controllers: [], changes: [] }, ['layout: missing']],
    ['hybrid with all', { layout: hybrid, controllers: ofV1, changes: [] }, ['layout: fallsBack']],
    [
      'hybrid, up mounts the rest',
      { layout: hybrid, controllers: ofV1.filter(name => name !== 'hugetlb'), changes: mountsHugetlb },
      ['layout: fallsBack'],
    ],
    [
      'v1 without devices',
      { layout: v1, controllers: ofV1.filter(name => name !== 'devices'), changes: [] },
      ['layout: fallsBack', 'devices: missing'],
    ],
  ];
  for (const [name, given, expected] of cases) test(name, () => assert.deepEqual(troubles(planControlGroups(given)), expected));
});

test('security: seccomp is needed, modules are not', () => {
  const facts = { modules: ['capability', 'apparmor'], seccompActions: ['allow', 'errno'], isSelinuxEnforcing: false };
  assert.deepEqual(troubles(planSecurity(facts)), []);
  assert.deepEqual(troubles(planSecurity({ ...facts, seccompActions: [] })), ['seccomp: missing']);
  assert.deepEqual(troubles(planSecurity({ ...facts, modules: ['selinux'] })), ['AppArmor: fallsBack']);
  assert.deepEqual(troubles(planSecurity({ ...facts, modules: ['apparmor', 'selinux'], isSelinuxEnforcing: true })), [
    'SELinux: fallsBack',
  ]);
});

describe('the disk', () => {
  const trial = { trustedAttributes: true, userAttributes: true, reflink: true, projectQuota: true };
  const facts: DiskFacts = {
    directory: '/var/lib/umiak',
    type: 'xfs',
    freeBytes: 50 * 2 ** 30,
    totalBytes: 100 * 2 ** 30,
    inodes: 1000,
    inodesFree: 900,
    alteredNames: 0,
    trial,
  };
  const cases: [name: string, given: Partial<DiskFacts>, expected: string[]][] = [
    ['all is there', {}, []],
    ['nothing was tried', { trial: undefined }, []],
    ['memory', { type: 'tmpfs' }, ['file system: fallsBack']],
    ['remote', { type: 'fuse.sshfs' }, ['file system: fallsBack']],
    ['small', { freeBytes: 2 * 2 ** 30 }, ['space: fallsBack']],
    ['full', { freeBytes: 2 ** 20 }, ['space: missing']],
    ['full of small files', { inodesFree: 10 }, ['inodes: missing']],
    ['altered names', { alteredNames: 2 }, ['image names: fallsBack']],
    ['inodes are not counted', { inodes: 0, inodesFree: 0 }, []],
    ['a container', { type: 'overlay', trial: { ...trial, overlay: 'mount overlay: Invalid argument' } }, ['overlayfs: fallsBack']],
    ['read-only', { trial: { ...trial, problem: 'EROFS' } }, ['trial: missing']],
    ['plain', { trial: { ...trial, reflink: false, projectQuota: false } }, ['reflinks: fallsBack', 'project quotas: fallsBack']],
    ['without attributes', { trial: { ...trial, userAttributes: false } }, ['attributes: fallsBack']],
  ];
  for (const [name, given, expected] of cases) test(name, () => assert.deepEqual(troubles(planDisk({ ...facts, ...given })), expected));
});

describe('the network', () => {
  const wanted = [{ what: 'DNS', protocol: 'udp' as const, host: '10.42.0.1', port: 53, remedy: 'choose' }];
  const listener = (address: string, port = 53, protocol: 'tcp' | 'udp' = 'udp') => ({ protocol, address, port, inode: 7 });
  const facts: NetworkFacts = {
    trial: {},
    foreignDrops: [],
    legacyTables: [],
    bridge: 'umiak0',
    wanted,
    nodePortRange: { first: 30_000, last: 32_767 },
    listeners: [],
    holders: new Map([[7, { pid: 42, name: 'dnsmasq' }]]),
    ownPids: [],
  };
  const cases: [name: string, given: Partial<NetworkFacts>, expected: string[]][] = [
    ['all is there', {}, []],
    ['nothing was tried', { trial: undefined, foreignDrops: undefined }, []],
    ['no nftables', { trial: { nftables: 'no' } }, ['nftables: missing']],
    ['no links', { trial: { bridge: 'no', veth: 'no' } }, ['bridge: missing', 'veth: missing']],
    ["docker's policy", { foreignDrops: ['ip filter FORWARD'] }, ['ip filter FORWARD: fallsBack']],
    ['the older iptables', { legacyTables: ['nat', 'filter'] }, ['iptables-legacy: fallsBack']],
    ['a resolver on all addresses', { listeners: [listener('*')] }, ['DNS: missing']],
    ['a resolver elsewhere', { listeners: [listener('127.0.0.53')] }, []],
    ['another protocol', { listeners: [listener('*', 53, 'tcp')] }, []],
    ['our own', { listeners: [listener('10.42.0.1')], ownPids: [42] }, []],
    ['a program in the range of node ports', { listeners: [listener('*', 30_080, 'tcp')] }, ['node ports: fallsBack']],
  ];
  for (const [name, given, expected] of cases) test(name, () => assert.deepEqual(troubles(planNetwork({ ...facts, ...given })), expected));

  test('who is in the way is named', () => {
    const found = planNetwork({ ...facts, listeners: [listener('*')] }).find(({ about }) => about === 'DNS');
    assert.equal(found?.says, '10.42.0.1:53/udp is taken by dnsmasq (process 42).');
  });
});

test('listeners are read from the tables of /proc', () => {
  const tcp = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:192B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0 100 0 0 10 0
   1: 0100007F:192B 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 12346 1 0 100 0 0 10 0
   2: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 7 1
   3: 0000000000000000FFFF00000100000A:0051 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 8 1
`;
  assert.deepEqual(parseListeners(tcp, 'tcp'), [
    { protocol: 'tcp', address: '127.0.0.1', port: 6443, inode: 12345 },
    { protocol: 'tcp', address: '*', port: 80, inode: 7 },
    { protocol: 'tcp', address: '10.0.0.1', port: 81, inode: 8 },
  ]);
  const unix = `Num       RefCount Protocol Flags    Type St Inode Path
0: 00000002 00000000 00010000 0001 01 11 /run/docker.sock
0: 00000003 00000000 00000000 0001 03 12 /run/docker.sock
0: 00000003 00000000 00000000 0001 03 13
`;
  assert.deepEqual(parseUnixListeners(unix), ['/run/docker.sock']);
});

test('programs: the configured runtime and conmon are needed', () => {
  const versions = { crun: 'crun version 1.8.1', runc: 'runc version 1.1.5', conmon: 'conmon version 2.1.6', nft: 'nftables v1.0.6' };
  const { crun: _, ...withoutCrun } = versions;
  const runtimes = BUILT_IN_HANDLERS;
  assert.deepEqual(troubles(planPrograms({ runtime: 'crun', runtimes, versions, hasLibseccomp: true })), []);
  assert.deepEqual(troubles(planPrograms({ runtime: 'runc', runtimes, versions: withoutCrun, hasLibseccomp: false })), []);
  assert.deepEqual(troubles(planPrograms({ runtime: 'crun', runtimes, versions: {}, hasLibseccomp: false })), [
    'crun: missing',
    'conmon: missing',
    'libseccomp: missing',
  ]);
  const [crun] = planPrograms({ runtime: 'crun', runtimes, versions: withoutCrun, hasLibseccomp: true });
  assert.match(crun?.remedy ?? '', /--runtime runc/);
  const kata = { ...runtimes, kata: { type: 'oci', path: '/opt/kata' } } as const;
  assert.deepEqual(troubles(planPrograms({ runtime: 'crun', runtimes: kata, versions, hasLibseccomp: true })), ['kata: fallsBack']);
  const criu = { says: 'Error: no parent' };
  assert.deepEqual(troubles(planPrograms({ runtime: 'crun', runtimes, versions, criu, hasLibseccomp: true })), ['criu: fallsBack']);
});

describe('limits', () => {
  const facts: LimitFacts = {
    inotifyInstances: 1024,
    inotifyWatches: 524_288,
    tasks: 131_072,
    memoryBytes: 8 * 2 ** 30,
    memoryAvailableBytes: 4 * 2 ** 30,
  };
  const cases: [name: string, given: Partial<LimitFacts>, expected: string[]][] = [
    ['plenty', {}, []],
    ['few files', { openFiles: 4096 }, ['open files: fallsBack']],
    ['too few files', { openFiles: 256 }, ['open files: missing']],
    [
      "the kernel's own defaults",
      { inotifyInstances: 128, inotifyWatches: 8192 },
      ['inotify instances: fallsBack', 'inotify watches: fallsBack'],
    ],
    ['no inotify', { inotifyInstances: undefined, inotifyWatches: undefined }, ['inotify: missing']],
    ['few tasks', { tasks: 4096 }, ['processes: fallsBack']],
    ['tracking nearly full', { conntrack: { most: 262_144, used: 250_000 } }, ['connections: fallsBack']],
    ['tracking with room', { conntrack: { most: 262_144, used: 10 } }, []],
    ['little memory', { memoryAvailableBytes: 300 * 2 ** 20 }, ['memory: fallsBack']],
    ['no memory', { memoryAvailableBytes: 50 * 2 ** 20 }, ['memory: missing']],
  ];
  for (const [name, given, expected] of cases) test(name, () => assert.deepEqual(troubles(planLimits({ ...facts, ...given })), expected));
});

test('neighbours are known by their sockets', () => {
  assert.deepEqual(
    planNeighbours([]).map(({ says }) => says),
    ['None runs.'],
  );
  const found = planNeighbours([
    '/run/docker.sock',
    '/run/containerd/containerd.sock',
    '/var/lib/kubelet/device-plugins/kubelet.sock',
    '/run/x.sock',
  ]);
  assert.deepEqual(
    found.map(({ about, state }) => `${about}: ${state}`),
    ['dockerd: ok', 'containerd: ok', 'kubelet: fallsBack'],
  );
});

test('the clock has a sane year and is kept right', () => {
  const nowMs = Date.UTC(2026, 10, 23);
  assert.deepEqual(troubles(planTime({ nowMs, isSynchronised: true })), []);
  assert.deepEqual(troubles(planTime({ nowMs, isSynchronised: false })), ['clock: fallsBack']);
  assert.deepEqual(troubles(planTime({ nowMs: 0, isSynchronised: true })), ['clock: missing']);
});
