import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Config, EndpointSettings, HostConfig } from '../containers/forms.ts';
import { parseLink } from '../containers/links.ts';
import { planContainerDns, planContainerHosts, planHostHosts } from './container-files.ts';
import { planNetworkFilter, planNetworkPrune } from './network-filters.ts';
import { toNetwork } from './network-forms.ts';
import { fixedNetworks, type NetworkRecord, toKernelNetwork } from './network-record.ts';
import { NO_ENDPOINT, orderOf, planEndpoints, withoutFacts } from './plan-endpoints.ts';
import { type NetworkFacts, parseNetworkWishes, planNetwork } from './plan-network.ts';
import { parsePortKey, planPorts, toPortMap, toPorts } from './plan-ports.ts';

const facts: NetworkFacts = {
  id: 'f'.repeat(64),
  createdAtMs: 0,
  used: ['172.18.0.0/16', '10.42.0.0/16'],
  avoided: ['172.19.0.0/16', '10.43.0.0/16'],
  links: ['eth0', 'docker0'],
  machine: 'test',
};
const plan = (body: object) => planNetwork(parseNetworkWishes({ Name: 'net', ...body }), facts);
const subnet = (Subnet: string, more: object = {}) => ({ IPAM: { Config: [{ Subnet, ...more }] } });

describe('a network to be made', () => {
  test('subnets: chosen freely, or as they were asked for', () => {
    const cases: [body: object, config: object[]][] = [
      [{}, [{ Subnet: '172.20.0.0/16', Gateway: '172.20.0.1' }]],
      [subnet('10.5.0.0/24'), [{ Subnet: '10.5.0.0/24', Gateway: '10.5.0.1' }]],
      [subnet('10.5.0.0/24', { Gateway: '10.5.0.9' }), [{ Subnet: '10.5.0.0/24', Gateway: '10.5.0.9' }]],
      [
        subnet('10.5.0.0/24', { IPRange: '10.5.0.128/25', AuxiliaryAddresses: { router: '10.5.0.1' } }),
        [{ Subnet: '10.5.0.0/24', IPRange: '10.5.0.128/25', AuxiliaryAddresses: { router: '10.5.0.1' }, Gateway: '10.5.0.2' }],
      ],
      [subnet('172.19.5.0/24'), [{ Subnet: '172.19.5.0/24', Gateway: '172.19.5.1' }]],
      [
        { EnableIPv6: true, ...subnet('fd00:7::/64') },
        [
          { Subnet: '172.20.0.0/16', Gateway: '172.20.0.1' },
          { Subnet: 'fd00:7::/64', Gateway: 'fd00:7::1' },
        ],
      ],
      [subnet('fd00:7::/64'), [{ Subnet: '172.20.0.0/16', Gateway: '172.20.0.1' }]],
      [{ EnableIPv4: null, EnableIPv6: null }, [{ Subnet: '172.20.0.0/16', Gateway: '172.20.0.1' }]],
    ];
    for (const [body, config] of cases) assert.deepEqual(plan(body).ipam.config, config, JSON.stringify(body));
    assert.match(plan({ EnableIPv6: true }).ipam.config[1]!.Subnet, /^fd.*\/64$/);
  });

  test('what is refused, in docker’s words', () => {
    const cases: [body: object, message: RegExp][] = [
      [{ Name: '' }, /name is required/],
      [{ Name: '../x' }, /invalid network name/],
      [{ Name: 'bridge' }, /operation is not permitted on predefined bridge network/],
      [{ Name: 7 }, /cannot unmarshal number into Go struct field .*Name of type string/],
      [{ Driver: 'ipvlan' }, /umiak has no driver 'ipvlan'/],
      [{ Driver: 'overlay' }, /not a swarm manager/],
      [{ Driver: 'host' }, /only one instance of "host" network is allowed/],
      [{ Driver: 'weave' }, /plugin "weave" not found/],
      [{ Driver: 'macvlan' }, /parent=<link>/],
      [{ Driver: 'macvlan', Options: { parent: 'eth0', macvlan_mode: 'x' } }, /macvlan_mode="x" can't be honoured/],
      [{ ConfigOnly: true }, /configuration-only/],
      [{ EnableIPv4: false }, /without IPv4/],
      [{ Options: { 'com.docker.network.bridge.trusted_host_interfaces': 'x' } }, /trusted_host_interfaces" of driver bridge is not there/],
      [{ Options: { 'com.docker.network.bridge.name': 'a/b' } }, /interface name "a\/b" is not valid/],
      [{ Options: { 'com.docker.network.bridge.name': 'docker0' } }, /docker0 is in use/],
      [{ Options: { 'com.docker.network.bridge.enable_icc': 'maybe' } }, /enable_icc="maybe" can't be honoured/],
      [{ IPAM: { Driver: 'dhcp' } }, /ipam driver "dhcp"/],
      [subnet('10.5.0.0'), /invalid subnet 10\.5\.0\.0: invalid CIDR/],
      [subnet('10.5.0.7/24'), /invalid subnet 10\.5\.0\.7\/24: it should be 10\.5\.0\.0\/24/],
      [subnet('172.18.9.0/24'), /Pool overlaps with other one on this address space/],
      [subnet('10.5.0.0/24', { Gateway: '10.6.0.1' }), /invalid gateway 10\.6\.0\.1: parent subnet/],
      [subnet('10.5.0.0/24', { IPRange: '10.6.0.0/25' }), /invalid ip-range/],
      [subnet('10.5.0.0/24', { IPRange: '10.5.0.0/16' }), /invalid ip-range/],
      [subnet('10.5.0.0/32'), /no room/],
      [{ IPAM: { Config: [{ Gateway: '10.5.0.1' }] } }, /need a subnet/],
    ];
    for (const [body, message] of cases) assert.throws(() => plan(body), { message }, JSON.stringify(body));
  });

  test('what it is to the kernel', () => {
    const record = plan({
      Internal: true,
      Options: {
        'com.docker.network.bridge.enable_icc': 'false',
        'com.docker.network.bridge.enable_ip_masquerade': 'false',
        'com.docker.network.driver.mtu': '1400',
      },
    });
    assert.deepEqual(toKernelNetwork(record, 'umiak'), {
      id: record.id,
      driver: 'bridge',
      link: 'umiak-fffffffff',
      subnets: [{ subnet: '172.20.0.0/16', gateway: '172.20.0.1' }],
      isInternal: true,
      isMasqueraded: false,
      isTalking: false,
      mtu: 1400,
    });
    const shared = toKernelNetwork(plan({ Driver: 'macvlan', Options: { parent: 'eth0' } }), 'umiak');
    assert.deepEqual(
      [shared.driver, shared.driver === 'macvlan' && shared.parent, shared.driver === 'macvlan' && shared.mode],
      ['macvlan', 'eth0', 'bridge'],
    );
  });
});

describe('lists', () => {
  const fixed = fixedNetworks({ instance: 't', podCidr: '10.42.0.0/16', gateway: '10.42.0.1', link: 't0', mtu: 1500, createdAtMs: 0 });
  const own: NetworkRecord = { ...plan({ Labels: { a: 'b' } }), name: 'shop', createdAtMs: 1_000_000 };
  const shown = (filters: object) =>
    [...fixed, own].filter(planNetworkFilter(JSON.stringify(filters), () => false)).map(({ name }) => name);

  test('filters', () => {
    const cases: [filters: object, names: string[]][] = [
      [{}, ['bridge', 'host', 'none', 'shop']],
      [{ driver: ['bridge'] }, ['bridge', 'shop']],
      [{ driver: ['null'] }, ['none']],
      [{ name: ['o'] }, ['host', 'none', 'shop']],
      [{ name: ['^shop$'] }, ['shop']],
      [{ name: ['^ho'] }, ['host']],
      [{ id: [own.id.slice(0, 8)] }, ['shop']],
      [{ label: ['a=b'] }, ['shop']],
      [{ label: ['a', 'c'] }, []],
      [{ type: ['builtin'] }, ['bridge', 'host', 'none']],
      [{ type: { custom: true } }, ['shop']],
      [{ scope: ['swarm'] }, []],
      [{ dangling: ['true'] }, ['shop']],
      [{ dangling: ['false'] }, ['bridge', 'host', 'none']],
    ];
    for (const [filters, names] of cases) assert.deepEqual(shown(filters), names, JSON.stringify(filters));
    assert.throws(() => shown({ color: ['red'] }), /invalid filter 'color'/);
    assert.throws(() => shown({ type: ['x'] }), /invalid filter: 'type'='x'/);
  });

  test('prune by age and labels', () => {
    const takes = (filters: object) => planNetworkPrune(JSON.stringify(filters), 2_000_000)(own);
    assert.deepEqual(
      [{}, { until: ['10m'] }, { until: ['30m'] }, { label: ['a=b'] }, { 'label!': ['a=b'] }, { 'label!': ['z'] }].map(takes),
      [true, true, false, true, false, true],
    );
  });

  test('forms by version', () => {
    const form = toNetwork(own, {}, 51);
    assert.deepEqual([form.Name, form.Driver, form.Scope, form.EnableIPv4, form.IPAM.Config?.length], ['shop', 'bridge', 'local', true, 1]);
    assert.equal('EnableIPv4' in toNetwork(own, {}, 47), false);
    assert.equal(fixed[0]!.id, fixedNetworks({ instance: 't', podCidr: '', gateway: '', link: '', mtu: 0, createdAtMs: 9 })[0]!.id);
  });
});

describe('endpoints', () => {
  const record = { ...plan(subnet('10.5.0.0/24')), name: 'shop' };
  const find = (name: string) => (name === 'shop' || name === record.id ? record : undefined);
  const endpoints = (NetworkMode: string, asked: Record<string, Partial<EndpointSettings>> = {}, MacAddress = '') =>
    planEndpoints({ name: 'c', config: { Hostname: 'c', MacAddress }, hostConfig: { NetworkMode, Links: null }, endpoints: asked }, find);

  test('that of the mode, and those beside it', () => {
    assert.deepEqual(Object.keys(endpoints('bridge')), ['bridge']);
    assert.deepEqual(Object.keys(endpoints('shop', { shop: { Aliases: ['a'] }, other: {} })), ['shop', 'other']);
    assert.deepEqual(Object.keys(endpoints(record.id, { [record.id]: {} })), ['shop']);
    assert.deepEqual(endpoints('container:x', { shop: {} }), {});
    assert.deepEqual(endpoints('shop', { shop: { DriverOpts: { 'x.y': 'z' } } }).shop?.DriverOpts, { 'x.y': 'z' });
    assert.equal(endpoints('shop', {}, '02-42-AC-11-00-09').shop?.MacAddress, '02:42:ac:11:00:09');
    assert.deepEqual(endpoints('shop', { shop: { IPAMConfig: { IPv4Address: '10.5.0.9' } } }).shop?.IPAMConfig, {
      IPv4Address: '10.5.0.9',
    });
  });

  test('what is refused', () => {
    const cases: [mode: string, asked: Record<string, Partial<EndpointSettings>>, message: RegExp][] = [
      ['host', { shop: {} }, /cannot attach both/],
      ['none', { shop: {} }, /private \(none\) mode/],
      ['bridge', { none: {} }, /private \(none\) mode/],
      ['shop', { host: {} }, /cannot be disconnected from host network or connected to host network/],
      ['bridge', { bridge: { IPAMConfig: { IPv4Address: '10.5.0.9' } } }, /supported on user defined networks only/],
      ['bridge', { bridge: { Aliases: ['x'] } }, /network-scoped alias/],
      [
        'shop',
        { shop: { IPAMConfig: { IPv4Address: '10.6.0.9' } } },
        /no configured subnet or ip-range contain the IP address 10\.6\.0\.9/,
      ],
      ['shop', { shop: { IPAMConfig: { IPv6Address: '10.5.0.9' } } }, /invalid IPv6 address/],
      ['shop', { shop: { IPAMConfig: { LinkLocalIPs: ['nonsense'] } } }, /invalid link-local IP address: nonsense/],
      [
        'bridge',
        { bridge: { IPAMConfig: { LinkLocalIPs: ['169.254.1.1'] } } },
        /link-local addresses .* are given on user-defined networks only/,
      ],
      [
        'bridge',
        { bridge: { DriverOpts: { 'com.docker.network.endpoint.ifname': 'lan' } } },
        /network bridge: driver option .*ifname can't be honoured where the container begins/,
      ],
      ['shop', { shop: { MacAddress: 'nonsense' } }, /invalid MAC address/],
      ['shop', { shop: { MacAddress: '01:00:5e:00:00:01' } }, /invalid MAC address/],
      ['host', { host: { MacAddress: '02:42:00:00:00:01' } }, /conflicting options: mac-address and the network mode/],
      [
        'shop',
        { shop: { DriverOpts: { 'com.docker.network.endpoint.sysctls': 'z' } } },
        /driver option com\.docker\.network\.endpoint\.sysctls=z can't be honoured/,
      ],
    ];
    for (const [mode, asked, message] of cases) assert.throws(() => endpoints(mode, asked), { message }, JSON.stringify(asked));
  });

  test('order, wishes without facts, links', () => {
    assert.deepEqual(orderOf({ b: { GwPriority: 0 }, a: { GwPriority: 0 }, z: { GwPriority: 5 } }), ['z', 'a', 'b']);
    const known = { ...NO_ENDPOINT, IPAddress: '172.18.0.2', EndpointID: 'e', Aliases: ['x'] };
    assert.deepEqual(withoutFacts({ ...known, MacAddress: '02:42:ac:12:00:02' }), { ...NO_ENDPOINT, Aliases: ['x'] });
    assert.equal(withoutFacts({ ...known, MacAddress: '02:75:ac:12:00:02' }).MacAddress, '', 'of the default network');
    assert.equal(withoutFacts({ ...known, MacAddress: '02:00:00:00:00:02' }).MacAddress, '02:00:00:00:00:02');
    assert.deepEqual(
      [parseLink('db:mysql'), parseLink('/db')],
      [
        { target: 'db', alias: 'mysql' },
        { target: 'db', alias: 'db' },
      ],
    );
  });
});

describe('published ports', () => {
  const wishes = (PortBindings: Record<string, object[]>, ExposedPorts: Record<string, object> = {}, PublishAllPorts = false) =>
    planPorts({ ExposedPorts } as Config, { PortBindings, PublishAllPorts } as unknown as HostConfig).map(
      ({ key, hostIp, first, last }) => `${hostIp || '*'}:${first}-${last}>${key}`,
    );

  test('forms', () => {
    assert.deepEqual(
      wishes({ '80/tcp': [{ HostPort: '8080' }, { HostIp: '127.0.0.1', HostPort: '' }], '53/udp': [{ HostPort: '5300-5310' }] }),
      ['*:8080-8080>80/tcp', '127.0.0.1:0-0>80/tcp', '*:5300-5310>53/udp'],
    );
    assert.deepEqual(wishes({}, { '80/tcp': {}, '90-91/udp': {} }, true), ['*:0-0>80/tcp', '*:0-0>90/udp', '*:0-0>91/udp']);
    assert.deepEqual(
      parsePortKey('443').map(({ key }) => key),
      ['443/tcp'],
    );
    for (const bad of ['0/tcp', '65536', 'x', '5-3/tcp', '80/icmp']) assert.throws(() => parsePortKey(bad), /invalid/, bad);
    assert.throws(() => wishes({ '80/tcp': [{ HostPort: '99999' }] }), /invalid port specification/);
    assert.throws(() => wishes({ '80/tcp': [{ HostIp: 'web' }] }), /invalid IP address/);
  });

  test('what inspect and ps tell', () => {
    const map = toPortMap({ ExposedPorts: { '80/tcp': {}, '90/tcp': {} } }, { '80/tcp': [{ HostIp: '0.0.0.0', HostPort: '8080' }] });
    assert.deepEqual(map, { '80/tcp': [{ HostIp: '0.0.0.0', HostPort: '8080' }], '90/tcp': null });
    assert.deepEqual(toPorts(map), [
      { IP: '0.0.0.0', PrivatePort: 80, PublicPort: 8080, Type: 'tcp' },
      { PrivatePort: 90, Type: 'tcp' },
    ]);
  });
});

describe('files', () => {
  const dns = (more: object = {}) => ({ Dns: [], DnsOptions: [], DnsSearch: [], ...more });
  const machine = 'nameserver 127.0.0.53\nnameserver 192.0.2.1\nsearch corp.example\noptions edns0\n';

  test('resolv.conf', () => {
    const cases: [wishes: object, kind: 'host' | 'default' | 'embedded', text: string][] = [
      [{}, 'default', 'nameserver 192.0.2.1\nsearch corp.example\noptions edns0\n'],
      [{}, 'embedded', 'nameserver 127.0.0.11\nsearch corp.example\noptions edns0 ndots:0\n'],
      [{}, 'host', 'nameserver 127.0.0.53\nnameserver 192.0.2.1\nsearch corp.example\noptions edns0\n'],
      [{ Dns: ['1.1.1.1'], DnsSearch: ['.'], DnsOptions: ['ndots:2'] }, 'embedded', 'nameserver 127.0.0.11\noptions ndots:2\n'],
      [{ Dns: ['1.1.1.1'] }, 'default', 'nameserver 1.1.1.1\nsearch corp.example\noptions edns0\n'],
    ];
    for (const [wishes, kind, text] of cases) assert.equal(planContainerDns(dns(wishes), machine, kind).resolvConf, text, kind);
    assert.deepEqual(planContainerDns(dns(), machine, 'embedded').upstreams, ['127.0.0.53', '192.0.2.1']);
    assert.equal(planContainerDns(dns(), 'nameserver 127.0.0.53\n', 'default').resolvConf, 'nameserver 8.8.8.8\nnameserver 8.8.4.4\n');
  });

  test('hosts', () => {
    const text = planContainerHosts({
      hostname: 'web',
      domainname: 'example.org',
      addresses: ['172.18.0.2'],
      extraHosts: ['here:host-gateway', 'six=[fd00::1]', 'there:192.0.2.9'],
      hostGateway: '172.18.0.1',
      links: [{ address: '172.18.0.9', names: ['db', 'mysql'] }],
    });
    assert.deepEqual(text.split('\n').slice(6), [
      '172.18.0.1\there',
      'fd00::1\tsix',
      '192.0.2.9\tthere',
      '172.18.0.9\tdb mysql',
      '172.18.0.2\tweb.example.org web',
      '',
    ]);
    assert.equal(planHostHosts('127.0.0.1 localhost\n', ['a:1.2.3.4']), '127.0.0.1 localhost\n1.2.3.4\ta\n');
  });
});
