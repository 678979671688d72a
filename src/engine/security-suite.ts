import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, watch, writeFileSync } from 'node:fs';
import { after, afterEach, before, describe, test } from 'node:test';
import { readCgroupLayout } from '#linux/cgroup.ts';
import { MS_BIND, MS_PRIVATE, mount, umount } from '#linux/mount.ts';
import { assertNoLeak, type Resources as Counted } from '#tests/resources.ts';
import type { Container, Resources } from './engine.ts';
import { readSecurityModules } from './security-modules.ts';
import { EngineBench } from './test-bench.ts';

const MB = 1024 * 1024;
const MS_SHARED = 1 << 20;

/** What a container may do and take, read inside it or from its control group. Needs root. */
export function runSecuritySuite(runtime: 'crun' | 'runc'): void {
  describe(`security and limits over ${runtime}`, () => {
    const bench = new EngineBench('security', runtime);
    const layout = readCgroupLayout();
    let empty: Counted;
    before(async () => {
      await bench.open();
      await bench.run('true');
      watch(bench.directory).close(); // what Node opens once and keeps
      await bench.clear();
      empty = bench.resources();
    });
    afterEach(async () => {
      await bench.clear();
      assertNoLeak(empty, bench.resources());
    });
    after(() => bench[Symbol.asyncDispose]());

    /** A file of a container's control group, on v1 of the controller's tree. */
    const limitOf = ({ pid }: Pick<Container, 'pid'>, controller: string, file: string, above = '') => {
      const line = readFileSync(`/proc/${pid}/cgroup`, 'utf8')
        .split('\n')
        .find(each => each.split(':')[1]?.split(',').includes(controller));
      return readFileSync(`${layout.controllers[controller]}${line?.split(':')[2]}${above}/${file}`, 'utf8').trim();
    };
    const { appArmorProfiles, hasSelinux } = readSecurityModules();
    const hasModules = appArmorProfiles !== undefined || hasSelinux;
    const isV1 = { skip: layout.version === 'v2' ? 'reads the files of cgroup v1' : false };

    test('groups: Merge adds the image’s, Strict only what is named', async () => {
      const security = { user: 'web', supplementalGroups: [4000] };
      assert.equal((await bench.run('id -G', { security })).output, '1001 2000 4000\n');
      assert.equal((await bench.run('id -G', { security: { ...security, supplementalGroupsPolicy: 'Strict' } })).output, '1001 4000\n');
      const { id } = await bench.start('sleep 1000', { security: { ...security, supplementalGroupsPolicy: 'Strict' } });
      const exec = await bench.engine.execSync(id, { command: ['id', '-G'], timeoutMs: 10_000 });
      assert.equal(exec.output, '1001 4000\n');
    });

    test('ambient capabilities are kept by programs of other users; others they do not have', async () => {
      const status = 'grep -E "CapEff|CapAmb|NoNewPrivs|Seccomp:" /proc/self/status';
      const plain = await bench.run(status, { security: { user: '1000', capabilities: { drop: ['ALL'], add: ['NET_BIND_SERVICE'] } } });
      assert.match(plain.output, /CapAmb:\t0{16}/);
      const capabilities = { drop: ['ALL'], add: ['NET_BIND_SERVICE'], addAmbient: ['net_bind_service'] };
      const { output } = await bench.run(status, { security: { user: '1000', capabilities, noNewPrivileges: true } });
      assert.equal(output, 'CapEff:\t0000000000000400\nCapAmb:\t0000000000000400\nNoNewPrivs:\t1\nSeccomp:\t2\n');
      await assert.rejects(
        bench.create('true', { security: { capabilities: { addAmbient: ['SYS_ADMIN'] } } }),
        /does not have CAP_SYS_ADMIN/,
      );
    });

    test('AppArmor and SELinux are refused where the kernel has none', { skip: hasModules }, async () => {
      await assert.rejects(bench.create('true', { security: { apparmor: 'localhost/x' } }), /AppArmor is not enabled on the host/);
      await assert.rejects(bench.create('true', { security: { selinux: { level: 's0:c1' } } }), /SELinux is not enabled on the host/);
      assert.equal((await bench.run('echo ok', { security: { apparmor: 'unconfined', selinux: {} } })).output, 'ok\n');
    });

    test('a seccomp profile of one’s own decides by arguments, and a broken or missing one is refused', async () => {
      const profile = `${bench.directory}/profile.json`;
      const rule = { names: ['kill'], action: 'SCMP_ACT_ERRNO', errnoRet: 38, args: [{ index: 1, value: 10, op: 'SCMP_CMP_EQ' }] };
      writeFileSync(
        profile,
        JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [rule, { names: ['sethostname'], action: 'SCMP_ACT_ERRNO' }] }),
      );
      try {
        const { output } = await bench.run('kill -10 1 2>&1; kill -0 1 && echo alive', { security: { seccomp: profile } });
        assert.match(output, /Function not implemented\nalive\n$/);
        writeFileSync(profile, '{');
        await assert.rejects(bench.create('true', { security: { seccomp: profile } }), {
          reason: 'Invalid',
          message: /seccomp profile .*profile.json/,
        });
        writeFileSync(profile, JSON.stringify({ defaultAction: 'SCMP_ACT_NONSENSE' }));
        await assert.rejects(bench.create('true', { security: { seccomp: profile } }), /SCMP_ACT_NONSENSE/);
      } finally {
        rmSync(profile);
      }
      await assert.rejects(bench.create('true', { security: { seccomp: profile } }), { reason: 'NotFound', message: /profile.json/ });
    });

    test('read-only reaches the mounts below, if it is to', async () => {
      const [outer, inner] = [`${bench.directory}/outer`, `${bench.directory}/outer/inner`];
      mkdirSync(inner, { recursive: true });
      mount('none', inner, 'tmpfs');
      try {
        const script = 'touch /v/x 2>/dev/null || echo no; touch /v/inner/x 2>/dev/null || echo no below';
        const of = (recursiveReadOnly: boolean) => ({ mounts: [{ source: outer, destination: '/v', readOnly: true, recursiveReadOnly }] });
        assert.equal((await bench.run(script, of(false))).output, 'no\n');
        assert.equal((await bench.run(script, of(true))).output, 'no\nno below\n');
      } finally {
        umount(inner);
        rmSync(outer, { recursive: true });
      }
    });

    test('mounts propagate from mounts that are shared; from others they are refused', async () => {
      const shared = `${bench.directory}/shared`;
      mkdirSync(`${shared}/sub`, { recursive: true });
      mount(shared, shared, null, MS_BIND);
      mount('none', shared, null, MS_PRIVATE);
      const mounts = (propagation: 'rshared' | 'rslave') => ({ mounts: [{ source: shared, destination: '/v', propagation }] });
      try {
        await assert.rejects(bench.create('true', mounts('rshared')), /but it is not a shared mount/);
        mount('none', shared, null, MS_SHARED);
        const slave = await bench.start('sleep 1000', mounts('rslave'));
        mkdirSync(`${shared}/late`);
        mount('none', `${shared}/late`, 'tmpfs');
        writeFileSync(`${shared}/late/seen`, '');
        assert.match((await bench.engine.execSync(slave.id, { command: ['ls', '/v/late'], timeoutMs: 10_000 })).output, /seen/);
        const { output } = await bench.run('mount -t tmpfs none /v/sub && touch /v/sub/mine && echo ok', {
          ...mounts('rshared'),
          security: { privileged: true },
        });
        assert.equal(output, 'ok\n');
        readFileSync(`${shared}/sub/mine`);
        umount(`${shared}/sub`);
        umount(`${shared}/late`);
      } finally {
        umount(shared, { detach: true });
        rmSync(shared, { recursive: true });
      }
    });

    test('a destination behind a link stays below the root; a source that is not there is named', async () => {
      const made = `${bench.directory}/made`;
      mkdirSync(made);
      try {
        symlinkSync('/etc', `${bench.directory}/image/outside`);
        const { output } = await bench.run('ls -d /etc/sub; ls /etc/sub', { mounts: [{ source: made, destination: '/outside/sub' }] });
        assert.equal(output, '/etc/sub\n');
      } finally {
        rmSync(made, { recursive: true });
        rmSync(`${bench.directory}/image/outside`);
      }
      const config = { mounts: [{ source: `${bench.directory}/none`, destination: '/v' }] };
      await assert.rejects(bench.create('true', config), { reason: 'NotFound', message: /mount \/v: source .*none does not exist/ });
    });

    test('limits are in the container’s group, and those that can not be are refused before anything is made', isV1, async () => {
      const resources: Resources = {
        cpuShares: 512,
        cpuQuotaUs: 20_000,
        cpuPeriodUs: 50_000,
        cpusetCpus: '0',
        memoryLimitBytes: 64 * MB,
        memoryReservationBytes: 32 * MB,
        memorySwapLimitBytes: 96 * MB,
        pidsLimit: 50,
        hugepageLimits: [{ pageSize: '2MB', limitBytes: 4 * MB }],
      };
      const container = await bench.start('sleep 1000', { resources });
      const read = () => [
        limitOf(container, 'cpu', 'cpu.shares'),
        limitOf(container, 'cpu', 'cpu.cfs_quota_us'),
        limitOf(container, 'cpu', 'cpu.cfs_period_us'),
        limitOf(container, 'cpuset', 'cpuset.cpus'),
        limitOf(container, 'memory', 'memory.limit_in_bytes'),
        limitOf(container, 'memory', 'memory.soft_limit_in_bytes'),
        limitOf(container, 'memory', 'memory.memsw.limit_in_bytes'),
        limitOf(container, 'pids', 'pids.max'),
        limitOf(container, 'hugetlb', 'hugetlb.2MB.limit_in_bytes'),
      ];
      assert.deepEqual(read(), ['512', '20000', '50000', '0', ...[64, 32, 96].map(n => String(n * MB)), '50', String(4 * MB)]);
      await bench.engine.updateResources(container.id, {
        cpuShares: 1024,
        cpuQuotaUs: 40_000,
        cpusetCpus: '0-1',
        memoryLimitBytes: 128 * MB,
        memoryReservationBytes: 16 * MB,
        memorySwapLimitBytes: 160 * MB,
        pidsLimit: 60,
        hugepageLimits: [{ pageSize: '2MB', limitBytes: 2 * MB }],
      });
      assert.deepEqual(read(), ['1024', '40000', '50000', '0-1', ...[128, 16, 160].map(n => String(n * MB)), '60', String(2 * MB)]);
      await assert.rejects(bench.engine.updateResources(container.id, { cpusetCpus: '0-63' }), /resources.cpusetCpus/);
      for (const wrong of [{ cpusetCpus: '99' }, { memoryLimitBytes: 1 }, { unified: { 'memory.high': '1' } }] satisfies Resources[])
        await assert.rejects(bench.create('true', { resources: wrong }), { reason: 'Invalid' });
      assert.equal(bench.engine.containers().length, 1);
    });

    test('a sandbox’s own limits hold for all of its containers together', isV1, async () => {
      const hugepageLimits = [{ pageSize: '2MB', limitBytes: 6 * MB }];
      const resources = { memoryLimitBytes: 32 * MB, cpuShares: 300, pidsLimit: 70, hugepageLimits };
      const pod = await bench.sandbox({ cgroupParent: 'podlimits', resources });
      const one = await bench.start('sleep 1000', {}, pod);
      assert.equal(limitOf(one, 'memory', 'memory.limit_in_bytes', '/..'), String(32 * MB));
      assert.equal(limitOf(one, 'cpu', 'cpu.shares', '/..'), '300');
      assert.equal(limitOf(one, 'pids', 'pids.max', '/..'), '70');
      assert.equal(limitOf(one, 'hugetlb', 'hugetlb.2MB.limit_in_bytes', '/..'), String(6 * MB));
      const { container } = await bench.run('tail /dev/zero', {}, pod);
      assert.deepEqual([container.exitCode, container.reason], [137, 'OOMKilled']);
      await assert.rejects(bench.sandbox({ resources }), /without a cgroupParent/);
    });

    test('a child killed for want of memory is told of when the container ends badly', async () => {
      const resources = { memoryLimitBytes: 32 * MB };
      const { container } = await bench.run('tail /dev/zero; exit 5', { resources });
      assert.deepEqual([container.exitCode, container.reason], [5, 'OOMKilled']);
      const fine = await bench.run('tail /dev/zero; true', { resources });
      assert.deepEqual([fine.container.exitCode, fine.container.reason], [0, 'Completed']);
    });

    test('the machine’s IPC is seen by those who are to see it, with a network of their own too', async () => {
      const file = `/dev/shm/umiak-${process.pid}-${runtime}`;
      writeFileSync(file, 'shared');
      try {
        const script = `cat ${file} 2>/dev/null || echo none`;
        const namespace = ({ pid }: Container) => readlinkSync(`/proc/${pid}/ns/ipc`);
        const [host, own] = [await bench.sandbox({ ipc: 'host' }), await bench.sandbox()];
        assert.equal((await bench.run(script, {}, host)).output, 'shared');
        assert.equal((await bench.run(script, {}, own)).output, 'none\n');
        assert.equal(namespace(await bench.start('sleep 1000', {}, host)), readlinkSync('/proc/self/ns/ipc'));
        assert.notEqual(namespace(await bench.start('sleep 1000', {}, own)), readlinkSync('/proc/self/ns/ipc'));
      } finally {
        rmSync(file);
      }
    });

    test('paths are masked and read-only as they are named', async () => {
      const script = 'cat /etc/group; touch /tmp/x 2>/dev/null || echo no; ls /proc/irq > /dev/null && echo irq';
      const security = { maskedPaths: ['/etc/group'], readonlyPaths: ['/tmp'] };
      assert.equal((await bench.run(script, { security })).output, 'no\nirq\n');
      const { output } = await bench.run('sh -c "echo 1 > /proc/sys/kernel/shmmni" 2>&1');
      assert.match(output, /Read-only file system/, 'by themselves, too');
    });

    test('on the machine’s network, too, /sys shows its own control groups alone, and nothing of it can be written', async () => {
      const script = 'cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null; grep " /sys" /proc/mounts | grep -v " ro,"';
      const { output } = await bench.run(script, { resources: { pidsLimit: 77 } }, await bench.sandbox({ network: 'host' }));
      assert.match(
        output,
        /^77\n(tmpfs|cgroup) \/sys\/fs\/cgroup [^\n]+\n$|^77\n$/,
        'at most the empty directory that those of v1 are mounted in',
      );
    });

    test('a profile of seccomp given for it holds for a privileged container, too', async () => {
      const seccompProfile = { defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO' }] };
      const { output } = await bench.run('mkdir /tmp/x 2>&1', { security: { privileged: true, seccompProfile } });
      assert.match(output, /Operation not permitted/);
      assert.equal((await bench.run('mkdir /tmp/x 2>&1', { security: { privileged: true } })).output, '');
    });

    test('sysctls are the sandbox’s own; the machine’s are refused', async () => {
      const pod = await bench.sandbox({ sysctls: { 'net.ipv4.ip_local_port_range': '2000 3000', 'kernel.shm_rmid_forced': '1' } });
      const { output } = await bench.run('cat /proc/sys/net/ipv4/ip_local_port_range /proc/sys/kernel/shm_rmid_forced', {}, pod);
      assert.equal(output, '2000\t3000\n1\n');
      await assert.rejects(bench.sandbox({ sysctls: { 'kernel.core_pattern': '|/bin/x' } }), /"kernel.core_pattern" is the machine’s/);
      await assert.rejects(
        bench.sandbox({ network: 'host', sysctls: { 'net.core.somaxconn': '9' } }),
        /not allowed with the machine's network/,
      );
      assert.equal(bench.engine.sandboxes().length, 1);
    });

    test('the stop signal is the container’s own', async () => {
      const script = 'trap "echo usr1; exit 7" USR1; echo up; while :; do sleep 0.1; done';
      const { id } = await bench.start(script, { stopSignal: 'SIGUSR1' });
      for await (const chunk of bench.engine.logs(id, { follow: true })) if (String(chunk).includes('up')) break;
      const ended = await bench.engine.stopContainer(id, { graceMs: 10_000 });
      assert.deepEqual([ended.exitCode, ended.reason], [7, 'Error']);
      await assert.rejects(bench.create('true', { stopSignal: 'SIGNONSENSE' }), { reason: 'Invalid' });
    });

    test('a device by CDI brings its node, environment, mounts and hooks; one that nobody knows is named', async () => {
      const file = `/var/run/cdi/umiak-test-${process.pid}-${runtime}.yaml`;
      const kind = `umiak-test-${process.pid}.example.com/${runtime}`;
      const made = `${bench.directory}/hooked`;
      mkdirSync('/var/run/cdi', { recursive: true });
      writeFileSync(
        file,
        `cdiVersion: 0.8.0
kind: ${kind}
containerEdits:
  env: [FROM=${kind}]
devices:
- name: fuse
  containerEdits:
    deviceNodes: [{path: /dev/cdi, hostPath: /dev/fuse, permissions: rw}]
    mounts: [{hostPath: /etc/hostname, containerPath: /cdi-name, options: [ro, bind]}]
    hooks: [{hookName: createRuntime, path: /bin/touch, args: [touch, ${made}]}]
    additionalGids: [4444]
`,
      );
      try {
        const script = 'echo $FROM; (: <> /dev/cdi) && echo open; cat /cdi-name; touch /cdi-name 2>/dev/null || echo ro; id -G';
        const { output } = await bench.run(script, { cdiDevices: [`${kind}=fuse`] });
        assert.equal(output, `${kind}\nopen\n${readFileSync('/etc/hostname', 'utf8').trimEnd()}\nro\n0 4444\n`);
        rmSync(made);
        const unknown = { reason: 'NotFound', message: `CDI device injection failed: unresolvable CDI devices ${kind}=none` } as const;
        await assert.rejects(bench.create('true', { cdiDevices: [`${kind}=none`] }), unknown);
      } finally {
        rmSync(file);
        if (readdirSync('/var/run/cdi').length === 0) rmSync('/var/run/cdi', { recursive: true });
      }
    });

    test('devices are there with the permissions they are given', async () => {
      const devices = [{ path: '/dev/fuse', containerPath: '/dev/mine', permissions: 'r' }];
      const script = '(: < /dev/mine) && echo read; (: > /dev/mine) 2>/dev/null || echo no; stat -c "%t:%T" /dev/mine';
      assert.equal((await bench.run(script, { devices })).output, 'read\nno\na:e5\n');
      assert.equal(
        (await bench.run('ls /dev/net', { devices: [{ path: '/dev/net' }] })).output,
        'tun\n',
        'a directory is all that is in it',
      );
      await assert.rejects(bench.create('true', { devices: [{ path: '/dev/nothing' }] }), /there is no device \/dev\/nothing/);
      const made = 'mknod /fuse c 10 229 && (: <> /fuse) 2>/dev/null && echo made || echo no';
      assert.equal((await bench.run(made)).output, 'no\n');
      assert.equal((await bench.run(made, { deviceRules: ['c 10:229 rwm'] })).output, 'made\n');
      await assert.rejects(bench.create('true', { deviceRules: ['c 10:229 x'] }), /deviceRules: "c 10:229 x" must have a form/);
    });
  });
}
