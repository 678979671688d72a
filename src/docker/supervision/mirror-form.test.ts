import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DockerContainer } from '../rooms.ts';
import { toMirrored } from './mirror-form.ts';

const container = (hostConfig: object, { config = {}, data = {}, more = {} }: { config?: object; data?: object; more?: object } = {}) =>
  ({
    id: 'c',
    owner: 'docker',
    name: 'web',
    engine: { state: 'running' },
    sandbox: { addresses: ['10.0.0.2'] },
    data: {
      image: 'i',
      path: 'sh',
      args: ['-c', 'x'],
      endpoints: {},
      config: { Labels: {}, WorkingDir: '', ...config },
      hostConfig: { NetworkMode: 'bridge', PortBindings: {}, RestartPolicy: { Name: '' }, AutoRemove: false, ...hostConfig },
      ...data,
    },
    ...more,
  }) as unknown as DockerContainer;

const form = (of: DockerContainer, Status?: 'healthy' | 'starting' | 'unhealthy') =>
  toMirrored(of, { isRestarting: () => false, healthOf: () => (Status ? { Status, FailingStreak: 0, Log: [] } : undefined) });

describe('toMirrored', () => {
  it("nothing of pods' containers", () => assert.equal(form(container({}, { more: { owner: 'node' } })), undefined));

  const ports: [what: string, hostConfig: object, exposed: object, expected: unknown[]][] = [
    ['none', {}, {}, []],
    [
      'exposed',
      {},
      { '80/tcp': {}, '53/udp': {} },
      [
        { containerPort: 80, protocol: 'TCP' },
        { containerPort: 53, protocol: 'UDP' },
      ],
    ],
    [
      'published',
      {
        PortBindings: {
          '80/tcp': [
            { HostIp: '127.0.0.1', HostPort: '8080' },
            { HostIp: '', HostPort: '8081' },
          ],
        },
      },
      { '80/tcp': {} },
      [{ containerPort: 80, protocol: 'TCP', hostPort: 8080, hostIP: '127.0.0.1' }],
    ],
    [
      'published by any number',
      { PortBindings: { '80/tcp': [{ HostIp: '', HostPort: '' }] } },
      {},
      [{ containerPort: 80, protocol: 'TCP' }],
    ],
    [
      "of the machine's network",
      { NetworkMode: 'host', PortBindings: { '80/tcp': [{ HostIp: '', HostPort: '8080' }] } },
      {},
      [{ containerPort: 80, protocol: 'TCP' }],
    ],
  ];
  for (const [what, hostConfig, ExposedPorts, expected] of ports)
    it(`ports: ${what}`, () => assert.deepEqual(form(container(hostConfig, { config: { ExposedPorts } }))?.ports, expected));

  it('addresses: of its networks, one of each family; of the pool without', () => {
    const endpoints = { a: { IPAddress: '10.1.0.2', GlobalIPv6Address: 'fd00::2' }, b: { IPAddress: '10.2.0.2', GlobalIPv6Address: '' } };
    assert.deepEqual(form(container({}, { data: { endpoints } }))?.addresses, ['10.1.0.2', 'fd00::2']);
    assert.deepEqual(form(container({}))?.addresses, ['10.0.0.2']);
  });

  it('how it is', () => {
    const of = container({ RestartPolicy: { Name: 'unless-stopped' } });
    assert.deepEqual(
      ([undefined, 'healthy', 'starting', 'unhealthy'] as const).map(status => form(of, status)?.isHealthy),
      [true, true, false, false],
    );
    assert.equal(form(of)?.restartPolicy, 'Always');
  });
});
