import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IPAddress, ServiceCIDR } from '#kinds/networking.ts';
import { Service } from '#kinds/service.ts';
import { ControlPlane } from '#tests/control-plane.ts';
import { isNeeded } from './service-cidr.ts';

test('a range is needed while an address lies in no other', () => {
  assert.equal(isNeeded(['10.1.0.0/24'], ['10.1.0.7'], []), true);
  assert.equal(isNeeded(['10.1.0.0/24'], ['10.1.1.7'], []), false);
  assert.equal(isNeeded(['10.1.0.0/24'], ['10.1.0.7'], ['10.0.0.0/8']), false);
  assert.equal(isNeeded(['10.1.0.0/24', '2001:db8::/64'], ['10.2.0.7'], ['2001:db8::/64']), false);
});

test('ServiceCIDRs add addresses, IPAddresses show them', { timeout: 60_000 }, async t => {
  await using plane = await ControlPlane.start({ also: [IPAddress, ServiceCIDR] });
  const { client, view, cluster } = plane;
  const namespace = 'default';
  const make = (name: string, clusterIP?: string) =>
    client.create(Service, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace },
      spec: { ports: [{ port: 80 }], clusterIP },
    });
  const address = (ip: string) => view.get(IPAddress, { name: ip });
  const ready = (name: string) => view.get(ServiceCIDR, { name })?.status?.conditions?.find(({ type }) => type === 'Ready');
  const range = (name: string, cidr: string) =>
    client.create(ServiceCIDR, { apiVersion: 'networking.k8s.io/v1', kind: 'ServiceCIDR', metadata: { name }, spec: { cidrs: [cidr] } });

  await t.test('each address of a Service is an object, as long as the Service has it', async () => {
    const { spec } = await make('web');
    const ip = spec.clusterIP!;
    await plane.until('shown', () => address(ip) !== undefined);
    assert.deepEqual(address(ip)?.spec.parentRef, { group: '', resource: 'services', namespace, name: 'web' });
    assert.match((await cluster.kubectl('get', 'ipaddress', ip)).stdout, /services\/default\/web/);
    const before = address(ip)?.metadata.uid;
    await client.delete(IPAddress, { name: ip });
    await plane.until('made again', () => address(ip) !== undefined && address(ip)?.metadata.uid !== before);
    await client.delete(Service, { namespace, name: 'web' });
    assert.equal((await make('heir', ip)).spec.clusterIP, ip, 'an address is free in the moment its Service goes');
    await plane.until('the heir is shown', () => address(ip)?.spec.parentRef.name === 'heir');
    await client.delete(Service, { namespace, name: 'heir' });
    await plane.until('gone', () => address(ip) === undefined);
  });

  await t.test('an address that somebody keeps is not given away', async () => {
    const parentRef = { group: 'example.com', resource: 'things', name: 'mine' };
    await client.create(IPAddress, {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'IPAddress',
      metadata: { name: '10.43.7.7' },
      spec: { parentRef },
    });
    await assert.rejects(make('theirs', '10.43.7.7'), /provided IP is already allocated/);
  });

  await t.test('another range, and its end', async () => {
    await assert.rejects(make('far', '10.196.0.9'), /not in the valid range. The range of valid IPs is 10\.43\.0\.0\/16/);
    await range('more', '10.196.0.0/24');
    await plane.until('ready', () => ready('more')?.status === 'True');
    assert.equal((await make('far', '10.196.0.9')).spec.clusterIP, '10.196.0.9');
    await plane.until('shown', () => address('10.196.0.9') !== undefined);
    await client.delete(ServiceCIDR, { name: 'more' });
    await plane.until('held', () => ready('more')?.reason === 'Terminating');
    await assert.rejects(make('late', '10.196.0.10'), /not in the valid range/);
    await client.delete(Service, { namespace, name: 'far' });
    await plane.until('let go', () => view.get(ServiceCIDR, { name: 'more' }) === undefined);
    await assert.rejects(range('wrong', '10.0.0.0/99'), /must be a valid CIDR value/);
  });
});
