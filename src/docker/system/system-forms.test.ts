import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type MachineFacts, parseRelease, readMachineFacts } from './machine-facts.ts';
import { type DaemonFacts, toInfo, toVersion } from './system-forms.ts';

const machine: MachineFacts = {
  hostname: 'host',
  kernel: '6.1.0',
  operatingSystem: 'Debian GNU/Linux 12 (bookworm)',
  osVersion: '12',
  architecture: 'x86_64',
  processors: 2,
  memoryBytes: 1024,
  cgroupVersion: '2',
  limits: { memory: true, swap: true, quota: true, shares: true, cpuset: true, pids: true, oomKillDisable: false },
  forwardsIpv4: true,
  fileSystem: 'extfs',
  openFiles: 64,
  hasAppArmor: true,
  hasSeccomp: true,
  hasSelinux: false,
};
const daemon: DaemonFacts = {
  id: 'id',
  version: '1.2.3',
  dataDir: '/var/lib/umiak',
  cgroupDriver: 'cgroupfs',
  defaultRuntime: 'crun',
  runtimes: ['crun', 'runc'],
  logDrivers: ['json-file'],
  networkDrivers: ['bridge'],
  insecureRegistries: ['registry.example'],
  proxy: { http: 'http://anna:secret@proxy:3128' },
  cdiDirectories: ['/etc/cdi'],
};
const counts = { images: 3, running: 2, paused: 1, stopped: 4, listeners: 0, nowMs: 0 };

test('info: counts, runtimes, no secret of a proxy', () => {
  const info = toInfo(daemon, machine, counts, 51);
  assert.deepEqual([info.Containers, info.ContainersRunning, info.ContainersPaused, info.ContainersStopped, info.Images], [7, 2, 1, 4, 3]);
  assert.deepEqual(Object.keys(info.Runtimes as object), ['crun', 'runc']);
  assert.equal(info.HttpProxy, 'http://xxxxx:xxxxx@proxy:3128/');
  assert.deepEqual(info.SecurityOptions, ['name=apparmor', 'name=seccomp,profile=builtin', 'name=cgroupns']);
  assert.equal(info.Warnings, null);
  assert.equal(info.DockerRootDir, '/var/lib/umiak/docker');
  assert.equal('BridgeNfIptables' in info, false);
  assert.deepEqual(Object.keys((info.RegistryConfig as { IndexConfigs: object }).IndexConfigs), ['docker.io', 'registry.example']);
});

test('info of older versions, and of machines that lack something', () => {
  assert.deepEqual(toInfo(daemon, machine, counts, 24).SecurityOptions, ['apparmor', 'seccomp']);
  assert.equal(toInfo(daemon, machine, counts, 49).BridgeNfIptables, false);
  const poor = { ...machine, forwardsIpv4: false, limits: { ...machine.limits, swap: false } };
  assert.deepEqual(toInfo(daemon, poor, counts, 51).Warnings, ['WARNING: No swap limit support', 'WARNING: IPv4 forwarding is disabled']);
});

test('version', () => {
  const platform = { os: 'linux', architecture: 'amd64' };
  assert.equal('Components' in toVersion('1', { kernel: '6', platform }, 34), false);
  assert.equal('MinAPIVersion' in toVersion('1', { kernel: '6', platform }, 24), false);
  assert.equal(toVersion('1', { kernel: '6', platform }, 51).ApiVersion, '1.51');
});

test('this machine', () => {
  const facts = readMachineFacts('/');
  assert.ok(facts.processors > 0 && facts.memoryBytes > 0 && facts.limits.memory);
  assert.deepEqual(parseRelease('NAME="Debian"\nPRETTY_NAME="Debian \\"x\\""\nVERSION_ID=12\n'), { name: 'Debian "x"', id: '12' });
  assert.deepEqual(parseRelease(''), { name: 'Linux', id: '' });
});
