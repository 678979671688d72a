import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type CreateBody, mergeEnv, ofVersion, planConfig, planEnvironment, planHostConfig } from './config.ts';
import { CREATE } from './config-table.ts';
import { decodeFields } from './decode.ts';
import type { HostConfig } from './forms.ts';
import { validateContainer } from './validate.ts';

const ID = '0123456789abcdef'.repeat(4);
const decode = (body: unknown) => decodeFields(body, CREATE, 'ContainerConfigWrapper') as CreateBody;

describe('decodeFields', () => {
  it('takes names in any case, drops unknown ones and null', () => {
    const body = {
      image: 'a',
      CMD: 'one',
      Entrypoint: ['x'],
      Nonsense: 1,
      Labels: null,
      hostconfig: { memory: 7, mounts: [{ type: 'bind' }] },
    };
    assert.deepEqual(decode(body), { Image: 'a', Cmd: ['one'], Entrypoint: ['x'], HostConfig: { Memory: 7, Mounts: [{ Type: 'bind' }] } });
  });
  it('takes names of maps as they are, __proto__ too', () => {
    const body = decode(JSON.parse('{"Labels":{"__proto__":"x","A":null},"ExposedPorts":{"80/tcp":{}}}'));
    assert.deepEqual(Object.entries(body.Labels ?? {}), [
      ['__proto__', 'x'],
      ['A', ''],
    ]);
    assert.deepEqual(body.ExposedPorts, { '80/tcp': {} });
  });
  const wrong: [body: unknown, says: RegExp][] = [
    [[], /cannot unmarshal array into Go struct field ContainerConfigWrapper of type struct/],
    [{ Tty: 'yes' }, /cannot unmarshal string into Go struct field ContainerConfigWrapper.Tty of type bool/],
    [{ HostConfig: { Memory: 1.5 } }, /number into Go struct field ContainerConfigWrapper.HostConfig.Memory of type int64/],
    [{ Env: { A: 1 } }, /cannot unmarshal object into Go struct field ContainerConfigWrapper.Env of type slice/],
    [{ Cmd: [1] }, /cannot unmarshal array .*Cmd of type strslice.StrSlice/],
    [{ Labels: { a: 1 } }, /cannot unmarshal number .*Labels of type string/],
  ];
  for (const [body, says] of wrong)
    it(`refuses ${JSON.stringify(body)}`, () => assert.throws(() => decode(body), { reason: 'BadRequest', message: says }));
});

describe('planConfig', () => {
  const image = {
    Entrypoint: ['/init'],
    Cmd: ['serve'],
    Env: ['A=image', 'B=image'],
    User: 'web',
    WorkingDir: '/srv',
    Labels: { a: 'i', b: 'i' },
  };
  const rows: [asked: CreateBody, entrypoint: string[] | null, cmd: string[] | null][] = [
    [{}, ['/init'], ['serve']],
    [{ Cmd: ['x'] }, ['/init'], ['x']],
    [{ Entrypoint: ['sh'] }, ['sh'], null],
    [{ Entrypoint: ['sh'], Cmd: ['x'] }, ['sh'], ['x']],
    [{ Entrypoint: [''], Cmd: ['x'] }, null, ['x']],
    [{ Entrypoint: [], Cmd: [] }, ['/init'], ['serve']],
  ];
  for (const [asked, entrypoint, cmd] of rows)
    it(`runs ${JSON.stringify(asked)}`, () => {
      const { Entrypoint, Cmd } = planConfig(asked, image, ID);
      assert.deepEqual([Entrypoint, Cmd], [entrypoint, cmd]);
    });
  it('refuses what has nothing to run', () => {
    assert.throws(() => planConfig({}, {}, ID), /no command specified/);
    assert.throws(() => planConfig({ Entrypoint: [''] }, image, ID), /no command specified/);
  });
  it('merges the rest', () => {
    const config = planConfig({ Env: ['B=own', 'C'], Labels: { b: 'own' }, User: '' }, image, ID);
    assert.deepEqual([config.Env, config.Labels, config.User], [['B=own', 'C', 'A=image'], { a: 'i', b: 'own' }, 'web']);
    assert.deepEqual([config.WorkingDir, config.Hostname], ['/srv', '0123456789ab']);
    assert.equal(planConfig({ HostConfig: { NetworkMode: 'host' } }, image, ID).Hostname, '');
  });
  it('inherits health checks field by field, or none', () => {
    const Healthcheck = { Test: ['CMD', 'ok'], Interval: 5e9, Retries: 2 };
    const health = (asked: CreateBody['Healthcheck']) =>
      planConfig(asked ? { Healthcheck: asked } : {}, { ...image, Healthcheck }, ID).Healthcheck;
    assert.deepEqual(health(undefined), Healthcheck);
    assert.deepEqual(health({ Interval: 9e9 }), { ...Healthcheck, Interval: 9e9 });
    assert.deepEqual(health({ Test: ['NONE'] }), { Test: ['NONE'] });
  });
});

it('a name without a value takes a variable away', () => {
  assert.deepEqual(mergeEnv(['A'], ['A=1', 'B=2']), ['A', 'B=2']);
  const env = (Env: string[], Tty = false) => planEnvironment({ Env, Hostname: 'h', Tty }).map(({ name, value }) => `${name}=${value}`);
  assert.deepEqual(env(['HOSTNAME', 'PATH=/x', 'A=b=c']), ['PATH=/x', 'A=b=c']);
  assert.deepEqual(env([], true).slice(1), ['HOSTNAME=h', 'TERM=xterm']);
});

describe('planHostConfig', () => {
  const plan = (asked: Partial<HostConfig>) => planHostConfig(asked, { runtime: 'crun', cgroupns: 'private' });
  it('has docker’s defaults', () => {
    const { NetworkMode, IpcMode, ShmSize, Runtime, RestartPolicy, MemorySwap, LogConfig } = plan({});
    assert.deepEqual(
      { NetworkMode, IpcMode, ShmSize, Runtime, RestartPolicy, MemorySwap, LogConfig },
      {
        NetworkMode: 'bridge',
        IpcMode: 'private',
        ShmSize: 64 << 20,
        Runtime: 'crun',
        RestartPolicy: { Name: 'no', MaximumRetryCount: 0 },
        MemorySwap: 0,
        LogConfig: { Type: 'json-file', Config: {} },
      },
    );
  });
  it('shows the kernel’s paths to who asks for them', () => {
    assert.ok(plan({}).MaskedPaths?.includes('/proc/kcore'));
    assert.equal(plan({ Privileged: true }).MaskedPaths, null);
    assert.deepEqual(plan({ SecurityOpt: ['systempaths=unconfined'] }).ReadonlyPaths, []);
    assert.deepEqual(plan({ MaskedPaths: ['/x'] }).MaskedPaths, ['/x']);
  });
  it('limits swap with memory, and spells capabilities whole', () => {
    assert.equal(plan({ Memory: 100 << 20 }).MemorySwap, 200 << 20);
    assert.equal(plan({ Memory: 100 << 20, MemorySwap: -1 }).MemorySwap, -1);
    assert.deepEqual(plan({ CapAdd: ['all', 'net_raw', 'CAP_CHOWN'] }).CapAdd, ['ALL', 'CAP_NET_RAW', 'CAP_CHOWN']);
  });
  it('means to older clients what it meant', () => {
    assert.deepEqual(ofVersion({ HostConfig: { Annotations: { a: 'b' }, ConsoleSize: [1, 2] } }, 39).HostConfig, {
      CgroupnsMode: 'host',
      IpcMode: 'shareable',
    });
    assert.deepEqual(ofVersion({ HostConfig: { Annotations: { a: 'b' } } }, 51).HostConfig, { Annotations: { a: 'b' } });
    assert.equal(ofVersion({ HostConfig: { AutoRemove: true } }, 24).HostConfig?.AutoRemove, undefined);
    const two = { NetworkingConfig: { EndpointsConfig: { a: {}, b: { MacAddress: '02:00:00:00:00:01' } } } };
    assert.deepEqual(ofVersion(two, 44).NetworkingConfig, two.NetworkingConfig);
    assert.throws(() => ofVersion(two, 43), /Container cannot be created with multiple network endpoints: a, b/);
  });
});

describe('validateContainer', () => {
  const check = (body: CreateBody) => {
    const config = planConfig({ Cmd: ['x'], ...body }, {}, ID);
    validateContainer(body, config, planHostConfig(body.HostConfig, { runtime: 'crun', cgroupns: 'private' }), {
      cpus: 2,
      cpuSet: '0-1',
      memorySet: '0',
    });
  };
  const MB = 1 << 20;
  const refused: [host: Partial<HostConfig>, says: RegExp, config?: CreateBody][] = [
    [{ Memory: MB }, /Minimum memory limit allowed is 6MB/],
    [{ Memory: 9 * MB, MemorySwap: 8 * MB }, /memoryswap limit should be larger/],
    [{ MemorySwap: 8 * MB }, /always set the Memory limit/],
    [{ Memory: 9 * MB, MemoryReservation: 10 * MB }, /can not be less than memory reservation/],
    [{ MemorySwappiness: 101 }, /swappiness range is 0-100/],
    [{ NanoCpus: 3e9 }, /range of CPUs is from 0.01 to 2.00/],
    [{ NanoCpus: 1e9, CpuQuota: 5000 }, /Nano CPUs and CPU Quota/],
    [{ CpuPeriod: 10 }, /CPU cfs period/],
    [{ CpuQuota: 10 }, /CPU cfs quota/],
    [{ BlkioWeight: 5 }, /blkio weight is from 10 to 1000/],
    [{ CpusetCpus: 'x' }, /Invalid value x for cpuset cpus/],
    [{ CpusetCpus: '0,9' }, /^Requested CPUs are not available - requested 0,9, available: 0-1$/],
    [{ CpusetMems: '1' }, /^Requested memory nodes are not available - requested 1, available: 0$/],
    [{ OomScoreAdj: 2000 }, /oom score adj/],
    [{ ShmSize: -1 }, /SHM size/],
    [{ Isolation: 'hyperv' }, /invalid isolation 'hyperv'/],
    [{ CpuPercent: 5 }, /CpuPercent can't be honoured/],
    [{ Cgroup: 'container:x' }, /Cgroup can't be honoured/],
    [
      { AutoRemove: true, RestartPolicy: { Name: 'always', MaximumRetryCount: 0 } },
      /can't create 'AutoRemove' container with restart policy/,
    ],
    [{ RestartPolicy: { Name: 'always', MaximumRetryCount: 3 } }, /can only be used with 'on-failure'/],
    [{ RestartPolicy: { Name: 'on-failure', MaximumRetryCount: -3 } }, /cannot be negative/],
    [{ IpcMode: 'x' }, /invalid IPC mode: x/],
    [{ PidMode: 'x' }, /invalid PID mode: x/],
    [{ UsernsMode: 'x' }, /invalid user namespace mode/],
    [{ UTSMode: 'host' }, /hostname and the UTS mode/, { Hostname: 'h' }],
    [{ NetworkMode: 'container:x' }, /hostname and the network mode/, { Hostname: 'h' }],
    [{ NetworkMode: 'container:x', PublishAllPorts: true }, /port publishing and the container type network mode/],
    [{ NetworkMode: 'container:x', Dns: ['1.1.1.1'] }, /dns and the network mode/],
    [{ ExtraHosts: ['x'] }, /bad format for add-host: "x"/],
    [{ ExtraHosts: ['x:zz'] }, /invalid IP address in add-host: "zz"/],
    [{ StorageOpt: { inodes: '1' } }, /unknown option/],
    [{ Ulimits: [{ Name: 'wings', Soft: 1, Hard: 1 }] }, /invalid ulimit type: wings/],
    [{ DeviceCgroupRules: ['x'] }, /invalid device cgroup rule format/],
    [{ PortBindings: { '99999/tcp': [] } }, /invalid port specification: "99999\/tcp"/],
    [{}, /invalid port specification: "x\/y"/, { ExposedPorts: { 'x/y': {} } }],
    [{}, /invalid environment variable: =x/, { Env: ['=x'] }],
    [{}, /invalid signal: SIGNOPE/, { StopSignal: 'SIGNOPE' }],
    [{}, /Interval in Healthcheck cannot be less than 1ms/, { Healthcheck: { Interval: 5 } }],
  ];
  for (const [host, says, config = {}] of refused)
    it(`refuses ${JSON.stringify({ ...host, ...config })}`, () =>
      assert.throws(() => check({ ...config, HostConfig: host }), { reason: 'BadRequest', message: says }));
  it('takes what is right', () => {
    check({
      HostConfig: { ExtraHosts: ['a:1.2.3.4', 'b=::1', 'c:host-gateway', 'd:[::1]'], CpusetCpus: '0-1,1' },
    });
    check({
      HostConfig: {
        Memory: 8 * MB,
        MemorySwap: -1,
        NanoCpus: 15e8,
        IpcMode: 'container:x',
        PidMode: 'host',
        UTSMode: 'host',
        NetworkMode: 'container:x',
      },
    });
  });
});
