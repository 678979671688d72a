import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { UmiakError } from '#base/errors.ts';
import type { Container } from '#engine/index.ts';
import type { DockerContainer, DockerData } from '../rooms.ts';
import { planConfig, planHostConfig } from './config.ts';
import { planContainerFilter, planPruneFilter } from './container-filters.ts';
import { exitCodeOf, toCreateError, toStartError } from './failures.ts';
import type { HostConfig } from './forms.ts';
import { findLinked, namesByLinks, toInspectLinks } from './links.ts';
import { fitToMachine, type MachineSupport } from './machine-support.ts';
import { openMatches } from './name-patterns.ts';
import { NameIndex, parseName } from './names.ts';
import { planResources, planSecurity, planSecurityOptions, toCdiNames } from './plan.ts';
import { humanDuration, statusOf, toStatusText } from './state-words.ts';
import { toStats } from './stats.ts';
import { planTop } from './top.ts';
import { planUpdate } from './update.ts';
import { parseCondition, Waits } from './waits.ts';

const host = (asked: Partial<HostConfig> = {}) => planHostConfig(asked, { runtime: 'crun', cgroupns: 'private' });

function facts(change: Partial<Container> = {}): Container {
  const config = { sandboxId: 's', metadata: { name: 'n', attempt: 0 }, image: 'i' };
  return {
    id: 'a'.repeat(64),
    owner: 'docker',
    config,
    imageId: 'sha256:i',
    imageRef: 'i',
    state: 'created',
    createdAtMs: 1000,
    ...change,
  };
}

function container(name: string, change: Partial<Container> = {}, labels: Record<string, string> = {}): DockerContainer {
  const config = planConfig({ Cmd: ['x'], Labels: labels, ExposedPorts: { '80/tcp': {} } }, {}, 'a'.repeat(64));
  const data: DockerData = {
    name,
    image: 'i',
    config,
    hostConfig: host(),
    platform: 'linux',
    path: 'x',
    args: [],
    endpoints: {},
    mounts: [],
  };
  const engine = facts({ id: name.padEnd(64, '0'), ...change });
  return { id: engine.id, sandboxId: 's', owner: 'docker', name, data, engine, sandbox: undefined };
}

describe('names', () => {
  it('are taken once, found by beginnings of ids, freed', () => {
    const names = new NameIndex();
    names.take('one', `ab${'0'.repeat(62)}`);
    names.take('two', `ac${'0'.repeat(62)}`);
    assert.throws(() => names.take('one', 'x'), /Conflict. The container name "\/one" is already in use by container "ab0/);
    assert.equal(names.find('/one'), names.find('ab'));
    assert.throws(() => names.find('a'), /multiple IDs found with provided prefix: a/);
    assert.throws(() => names.find('ad'), { reason: 'NotFound', message: 'No such container: ad' });
    names.hold('three', names.find('one'));
    assert.equal(names.find('three'), names.find('one'));
    names.drop('three', names.find('one'));
    names.drop('one', names.find('one'));
    assert.throws(() => names.find('three'), /No such container/);
    names.take('three', names.find('one'));
    assert.throws(() => names.find('one'), /No such container/);
    names.free(names.find('three'));
    names.take('three', 'y');
    assert.match(names.invent(), /^[a-z]+_[a-z]+/);
  });
  for (const name of ['', 'a', '-a', 'a/b', '..', 'a b', 'ä1', 'x'.repeat(300)])
    it(`refuses ${JSON.stringify(name.slice(0, 20))}`, () => assert.throws(() => parseName(name), /Invalid container name/));
  it('may begin with a slash', () => assert.equal(parseName('/a_b.c-1'), 'a_b.c-1'));
});

describe('state', () => {
  const no = { isRestarting: false, isRemoving: false };
  const rows: [facts: Container, beside: typeof no, status: string, text: string][] = [
    [facts(), no, 'created', 'Created'],
    [facts({ state: 'running', startedAtMs: 0 }), no, 'running', 'Up 3 minutes (healthy)'],
    [facts({ state: 'running', isPaused: true, startedAtMs: 0 }), no, 'paused', 'Up 3 minutes (Paused)'],
    [facts({ state: 'exited', startedAtMs: 0, finishedAtMs: 1000, exitCode: 3 }), no, 'exited', 'Exited (3) 3 minutes ago'],
    [facts({ state: 'exited', exitCode: 127 }), no, 'created', 'Created'],
    [
      facts({ state: 'exited', startedAtMs: 0, finishedAtMs: 0 }),
      { ...no, isRestarting: true },
      'restarting',
      'Restarting (0) 3 minutes ago',
    ],
    [facts({ state: 'exited' }), { ...no, isRemoving: true }, 'removing', 'Removal In Progress'],
  ];
  for (const [engine, beside, status, text] of rows)
    it(text, () => {
      const found = statusOf(engine, beside);
      assert.deepEqual([found, toStatusText(engine, found, 'healthy', 190_000)], [status, text]);
    });
  it('lasts as docker says', () => {
    const spans: [seconds: number, says: string][] = [
      [0.4, 'Less than a second'],
      [1, '1 second'],
      [59, '59 seconds'],
      [60, 'About a minute'],
      [150, '2 minutes'],
      [3600, 'About an hour'],
      [7200, '2 hours'],
      [86_400 * 3, '3 days'],
      [86_400 * 20, '2 weeks'],
      [86_400 * 90, '3 months'],
      [86_400 * 365 * 3, '3 years'],
    ];
    for (const [seconds, says] of spans) assert.equal(humanDuration(seconds * 1000), says);
  });
});

describe('filters', async () => {
  const matches = await openMatches(['(']);
  const all = [
    container('web1', { state: 'running', createdAtMs: 1000 }, { tier: 'front' }),
    container('web2', { state: 'exited', startedAtMs: 1, exitCode: 3, createdAtMs: 2000 }, { tier: 'back', old: '' }),
    container('db', { createdAtMs: 3000, imageId: 'sha256:db' }),
  ];
  const found = (filters: Record<string, string[]>) => {
    const passes = planContainerFilter(new Map(Object.entries(filters)), {
      statusOf: ({ engine }) => statusOf(engine, { isRestarting: false, isRemoving: false }),
      healthOf: () => 'none',
      portsOf: ({ name }) => (name === 'web1' ? [{ PrivatePort: 80, PublicPort: 8080, Type: 'tcp' }] : []),
      networksOf: ({ name }) => [name === 'db' ? 'back' : 'bridge', 'f'.repeat(64)],
      createdOf: name => all.find(each => each.name === name)?.engine.createdAtMs ?? 0,
      imagesOf: name => new Set([`sha256:${name}`]),
      matches,
    });
    return all
      .filter(passes)
      .map(({ name }) => name)
      .join(' ');
  };
  const rows: [filters: Record<string, string[]>, names: string][] = [
    [{}, 'web1 web2 db'],
    [{ name: ['web'] }, 'web1 web2'],
    [{ name: ['^/web1$'] }, 'web1'],
    [{ name: ['^db$', 'web2'] }, 'web2 db'],
    [{ name: ['('] }, ''],
    [{ id: ['web'] }, 'web1 web2'],
    [{ label: ['tier'] }, 'web1 web2'],
    [{ label: ['tier=back', 'old'] }, 'web2'],
    [{ 'label!': ['tier=back'] }, 'web1 db'],
    [{ status: ['running', 'created'] }, 'web1 db'],
    [{ exited: ['3'] }, 'web2'],
    [{ before: ['web2'] }, 'web1'],
    [{ since: ['web1'] }, 'web2 db'],
    [{ ancestor: ['db'] }, 'db'],
    [{ network: ['back'] }, 'db'],
    [{ network: ['f'.repeat(12)] }, 'web1 web2 db'],
    [{ publish: ['8080'] }, 'web1'],
    [{ publish: ['8000-9000/udp'] }, ''],
    [{ expose: ['80/tcp'] }, 'web1 web2 db'],
    [{ health: ['healthy'] }, ''],
    [{ isolation: ['hyperv'] }, ''],
    [{ 'is-task': ['true'] }, ''],
    [{ 'is-task': ['false'] }, 'web1 web2 db'],
  ];
  for (const [filters, names] of rows) it(JSON.stringify(filters), () => assert.equal(found(filters), names));
  for (const filters of [{ status: ['asleep'] }, { exited: ['x'] }, { health: ['fine'] }, { publish: ['x'] }])
    it(`refuses ${JSON.stringify(filters)}`, () => assert.throws(() => found(filters), { reason: 'BadRequest' }));
  it('matches names in time that does not explode, else for ever', async () => {
    const evil = await openMatches(['^(a+)+$', '^(a|a)*(a|a)*b$']);
    for (const pattern of ['^(a+)+$', '^(a|a)*(a|a)*b$']) assert.equal(evil(pattern, `${'a'.repeat(250)}!`), false);
    const plain = await openMatches(['^/web.$']);
    assert.deepEqual([plain('^/web.$', '/web1'), plain('^/web.$', '/web12')], [true, false]);
  });
  it('prunes by age and labels', () => {
    const pruned = (filters: Record<string, string[]>) => all.filter(planPruneFilter(new Map(Object.entries(filters)), 10_000)).length;
    assert.deepEqual([pruned({}), pruned({ until: ['8s'] }), pruned({ label: ['tier'] }), pruned({ 'label!': ['tier'] })], [3, 1, 2, 1]);
  });
});

describe('limits and security in the engine’s words', () => {
  it('security options without a value, and in docker’s words what is none', () => {
    assert.deepEqual(planSecurityOptions(['no-new-privileges', 'writable-cgroups']), { noNewPrivileges: true, hasWritableCgroups: true });
    assert.throws(() => planSecurityOptions(['writeable-cgroups=true']), /invalid --security-opt 2: "writeable-cgroups=true"/);
    assert.throws(() => planSecurityOptions(['nonsense']), /invalid --security-opt 1: "nonsense"/);
  });
  it('are planned', () => {
    assert.deepEqual(planResources(host({ NanoCpus: 15e8, Memory: 8 << 20, PidsLimit: 5, OomScoreAdj: 7 })), {
      cpuQuotaUs: 150_000,
      cpuPeriodUs: 100_000,
      memoryLimitBytes: 8 << 20,
      memorySwapLimitBytes: 16 << 20,
      pidsLimit: 5,
      oomScoreAdj: 7,
    });
    assert.deepEqual(
      planResources(host({ PidsLimit: -1, CpuPeriod: 50_000, BlkioWeight: 20, BlkioDeviceReadBps: [{ Path: '/dev/x', Rate: 9 }] })),
      {
        cpuPeriodUs: 50_000,
        io: { weight: 20, readBps: [{ path: '/dev/x', value: 9 }] },
      },
    );
  });
  it('take docker’s options', () => {
    const options = [
      'no-new-privileges:true',
      'apparmor=mine',
      'label=level:s0',
      'label=disable',
      'seccomp=/p.json',
      'systempaths=unconfined',
    ];
    assert.deepEqual(planSecurityOptions(options), {
      noNewPrivileges: true,
      apparmor: 'mine',
      selinux: { level: 's0' },
      seccomp: '/p.json',
    });
    assert.deepEqual(planSecurityOptions(['seccomp={"defaultAction":"x"}']), { seccompProfile: { defaultAction: 'x' } });
    const labelled = host({ SecurityOpt: ['label=type:container_runtime_t'] });
    const labels = (hasSelinux: boolean) => planSecurity({ User: '' }, labelled, { hasSelinux }).selinux;
    assert.deepEqual([labels(true), labels(false)], [{ type: 'container_runtime_t' }, undefined]);
    for (const option of ['x', 'seccomp={', 'label=x', 'no-new-privileges=perhaps', 'credentialspec=x'])
      assert.throws(() => planSecurityOptions([option]), { reason: 'BadRequest' }, option);
  });
  it('ask for devices by CDI', () => {
    const ask = (change: object) =>
      toCdiNames({ Driver: '', Count: 0, DeviceIDs: null, Capabilities: [['gpu']], Options: null, ...change });
    assert.deepEqual(ask({ Count: -1 }), ['nvidia.com/gpu=all']);
    assert.deepEqual(ask({ Count: 2 }), ['nvidia.com/gpu=0', 'nvidia.com/gpu=1']);
    assert.deepEqual(ask({ DeviceIDs: ['3'] }), ['nvidia.com/gpu=3']);
    assert.deepEqual(ask({ Driver: 'cdi', DeviceIDs: ['v.com/c=x'] }), ['v.com/c=x']);
    assert.throws(() => ask({ Driver: 'magic' }), /could not select device driver "magic"/);
    assert.throws(() => ask({ Count: 1, DeviceIDs: ['1'] }), /cannot set both/);
  });
  it('leave out what the kernel lacks, and say so', () => {
    const none: MachineSupport = {
      cgroupVersion: 2,
      swapLimit: false,
      swappiness: false,
      oomKillDisable: false,
      pidsLimit: true,
      blkioWeight: false,
      blkioRates: true,
      cpuRealtime: false,
      selinux: false,
      cpuSet: '0',
      memorySet: '0',
    };
    const published = host({ NetworkMode: 'host', PortBindings: { '80/tcp': [{ HostIp: '', HostPort: '80' }] } });
    assert.deepEqual(fitToMachine(published, none).warnings, ['Published ports are discarded when using host network mode']);
    const { hostConfig, warnings } = fitToMachine(host({ Memory: 8 << 20, MemorySwappiness: 5, BlkioWeight: 10, PidsLimit: 3 }), none);
    assert.deepEqual([hostConfig.MemorySwap, hostConfig.MemorySwappiness, hostConfig.BlkioWeight, hostConfig.PidsLimit], [-1, null, 0, 3]);
    assert.equal(warnings.length, 3);
    assert.match(warnings[0] ?? '', /does not support swap limit capabilities/);
  });
  it('change one by one', () => {
    const before = host({ Memory: 8 << 20, PidsLimit: 4 });
    assert.deepEqual([planUpdate(before, { CpuShares: 5 }).Memory, planUpdate(before, { PidsLimit: -2 }).PidsLimit], [8 << 20, 0]);
    assert.deepEqual([planUpdate(before, { PidsLimit: 0 }).PidsLimit, planUpdate(before, {}).PidsLimit], [0, 4]);
    assert.throws(() => planUpdate(before, { Memory: 64 << 20 }), /update the memoryswap at the same time/);
    assert.throws(() => planUpdate(host({ NanoCpus: 1e9 }), { CpuQuota: 5000 }), /CPU Quota cannot be updated as Nano CPUs/);
    assert.deepEqual(planUpdate(before, { RestartPolicy: { Name: 'always', MaximumRetryCount: 0 } }).RestartPolicy.Name, 'always');
  });
});

describe('links', () => {
  const data = { name: 'app', hostConfig: host({ Links: ['db:mysql', '/cache'] }) } as DockerData;
  it('are told with both ends, and are names of whom they lead to', () => {
    assert.deepEqual(toInspectLinks(data), ['/db:/app/mysql', '/cache:/app/cache']);
    assert.deepEqual(
      [...namesByLinks([{ name: 'app', data }])],
      [
        ['db', ['/app/mysql']],
        ['cache', ['/app/cache']],
      ],
    );
    const elsewhere = { ...data, hostConfig: host({ Links: ['db'], NetworkMode: 'mine' }) };
    assert.deepEqual([toInspectLinks(elsewhere), namesByLinks([{ name: 'app', data: elsewhere }]).size], [['db'], 0]);
  });
  it('are found by who has them and what they are called there', () => {
    assert.equal(findLinked('/app/mysql', () => ({ data })).link, 'db:mysql');
    for (const reference of ['app/db', 'app/mysql/x', 'app/'])
      assert.throws(() => findLinked(reference, () => ({ data })), /^\w*Error: No such container/);
  });
});

describe('failed starts', () => {
  const rows: [message: string, path: string, says: RegExp, code: number, reason: string][] = [
    [
      'executable file `x` not found in $PATH: No such file or directory',
      'x',
      /exec: "x": executable file not found in \$PATH/,
      127,
      'BadRequest',
    ],
    ['executable file `/x` not found in $PATH: No such file', '/x', /exec: "\/x": stat \/x: no such file or directory/, 127, 'BadRequest'],
    ['open executable: Operation not permitted', '/tmp', /exec: "\/tmp": permission denied/, 126, 'BadRequest'],
    ['the kernel is full', 'x', /the kernel is full/, 128, 'InternalError'],
    [
      'the image has no user "me" in /etc/passwd',
      'x',
      /^unable to find user me: no matching entries in passwd file$/,
      128,
      'InternalError',
    ],
    [
      'the image has no group "us" in /etc/group',
      'x',
      /^unable to find group us: no matching entries in group file$/,
      128,
      'InternalError',
    ],
    ['there is no device /dev/x on this machine', 'x', /custom device "\/dev\/x": no such file or directory$/, 128, 'InternalError'],
  ];
  for (const [message, path, says, code, reason] of rows)
    it(message, () => {
      const error = toStartError(new Error(message), path);
      assert.match(error.message, says);
      assert.deepEqual([error.reason, exitCodeOf(facts({ exitCode: 128, reason: 'StartError', message }))], [reason, code]);
    });
});

it('a limit of what is written that the disk can’t keep is refused in docker’s words', () => {
  const refused = new UmiakError('Invalid', 'writableLimitBytes: the file system of /x does not count by project');
  assert.match(
    (toCreateError(refused) as Error).message,
    /^--storage-opt is supported only for overlay over xfs with 'pquota' mount option$/,
  );
  const other = new UmiakError('Invalid', 'resources.pidsLimit: x');
  assert.equal(toCreateError(other), other);
});

it('top shows the container’s processes alone', () => {
  const text = 'UID PID CMD\nroot 7 sleep 5\nroot 8 other\n';
  assert.deepEqual(planTop(text, new Set([7])), { Titles: ['UID', 'PID', 'CMD'], Processes: [['root', '7', 'sleep 5']] });
  assert.throws(() => planTop('UID CMD\n', new Set()), /Couldn't find PID field/);
});

it('stats have docker’s form, also of what does not run', () => {
  const empty = toStats({ id: 'i', name: 'n' }, undefined, undefined);
  assert.deepEqual([empty.read, empty.pids_stats, empty.memory_stats], ['0001-01-01T00:00:00Z', {}, {}]);
});

describe('waits', () => {
  const signal = new AbortController().signal;
  it('end by their conditions', async () => {
    const waits = new Waits();
    const [next, over, gone] = (['next-exit', 'not-running', 'removed'] as const).map(condition => waits.wait('i', condition, signal));
    waits.ended('i', 4); // a restart may follow
    assert.deepEqual(await Promise.all([next, over]), [4, 4]);
    waits.ended('i', 5);
    waits.removed('i', 6);
    assert.equal(await gone, 6);
  });
  it('end with who waits', async () => {
    const left = new AbortController();
    const waiting = new Waits().wait('i', 'removed', left.signal);
    left.abort(new Error('left'));
    await assert.rejects(waiting, /left/);
  });
  it('know their conditions', () => {
    assert.equal(parseCondition(''), 'not-running');
    assert.throws(() => parseCondition('sleepy'), /invalid condition: "sleepy"/);
  });
});
