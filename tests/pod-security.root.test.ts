import assert from 'node:assert/strict';
import { lstatSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { readSecurityModules } from '#engine/security-modules.ts';
import type { Pod } from '#kinds/pod.ts';
import { readCgroupLayout } from '#linux/cgroup.ts';
import { TestCluster, until } from './cluster.ts';
import { FOREVER, pod, shell } from './pod-manifests.ts';
import { podsOf } from './pods.ts';

const PROFILE = {
  defaultAction: 'SCMP_ACT_ALLOW',
  syscalls: [{ names: ['sethostname', 'mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 38 }],
};

describe('security contexts: what a pod asks for is what its processes have', () => {
  let cluster: TestCluster;
  const { apply, read, when, inPhase } = podsOf(() => cluster);
  const logs = (name: string) => cluster.kubectl('logs', name);
  const inPod = (name: string, script: string) => cluster.kubectl('exec', name, '--', 'sh', '-c', script);
  const statusOf = ({ status }: Pod) => status?.containerStatuses?.[0];
  const mounted = (name: string, mountPath: string, more: object = {}) => ({ name, mountPath, ...more });

  before(async () => {
    cluster = await TestCluster.up();
    await cluster.loadBusybox();
    const profiles = join(cluster.dataDir, 'seccomp');
    mkdirSync(profiles, { recursive: true });
    writeFileSync(join(profiles, 'no-directories.json'), JSON.stringify(PROFILE));
    await apply(
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'hidden' }, stringData: { password: 'p4ss' } },
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings' }, data: { color: 'green' } },
    );
  });
  after(async () => {
    rmSync(join(cluster.dataDir, 'seccomp'), { recursive: true });
    await cluster[Symbol.asyncDispose]();
  });

  test('hostUsers: false: root is nobody outside, volumes have their owners, nothing of the machine is reached', async () => {
    const shared = join(cluster.directory, 'shared');
    mkdirSync(shared);
    const script = [
      'cat /proc/self/uid_map',
      'id -u',
      'stat -c "%n %u" /bin /etc/hosts /e /e/made /s/password /c/color /m /h /i/bin/busybox 2>/dev/null',
      'cat /s/password; echo; cat /c/color; echo',
      'touch /e/made /m/made /h/made /root-made && stat -c "%n %u" /e/made /m/made /h/made /root-made',
      'mount -t tmpfs none /tmp && echo mounted',
      'cat /proc/kcore > /dev/null 2>&1 || echo no kcore',
    ].join('; ');
    const volumes = [
      { name: 'e', emptyDir: {} },
      { name: 'm', emptyDir: { medium: 'Memory' } },
      { name: 's', secret: { secretName: 'hidden' } },
      { name: 'c', configMap: { name: 'settings' } },
      { name: 'h', hostPath: { path: shared } },
      { name: 'i', image: { reference: 'busybox:test', pullPolicy: 'IfNotPresent' } },
    ];
    const volumeMounts = volumes.map(({ name }) => mounted(name, `/${name}`));
    const securityContext = { capabilities: { add: ['SYS_ADMIN'] }, seccompProfile: { type: 'Unconfined' } };
    await apply(
      pod('mapped', [shell(`${script}; sleep 1000`, { volumeMounts, securityContext })], { hostUsers: false, volumes }),
      pod('mapped-too', [shell('cat /proc/self/uid_map; wget -qO- -T 2 127.0.0.1:1 2>/dev/null; sleep 1000')], { hostUsers: false }),
    );
    await inPhase('mapped', 'Running');
    const output = await until('the script to end', async () => {
      const said = await logs('mapped');
      return said.includes('kcore') ? said : undefined;
    });
    assert.match(
      output,
      /^ +0 +(\d+) +65536\n0\n\/bin 0\n\/etc\/hosts 0\n\/e 0\n\/s\/password 0\n\/c\/color 0\n\/m 0\n\/h 0\n\/i\/bin\/busybox 0\np4ss\ngreen\n/,
    );
    assert.match(output, /\/e\/made 0\n\/m\/made 0\n\/h\/made 0\n\/root-made 0\nmounted\nno kcore\n$/);
    assert.equal(lstatSync(join(shared, 'made')).uid, 0, 'on the disk the owner is as it is inside');
    await inPhase('mapped-too', 'Running');
    const hostIds = await Promise.all(
      ['mapped', 'mapped-too'].map(async name => /^ +0 +(\d+)/.exec(await inPod(name, 'cat /proc/self/uid_map'))?.[1]),
    );
    assert.equal(new Set(hostIds).size, 2, 'no two pods share an id');
    assert.ok(hostIds.every(id => Number(id) >= 65_536));
    assert.deepEqual(statusOf(await read('mapped'))?.user?.linux, { uid: 0, gid: 0, supplementalGroups: [0] });
    // The network is its own, and the cluster's.
    assert.match(await inPod('mapped', 'ip -4 addr show eth0 || ifconfig eth0'), new RegExp(String((await read('mapped')).status?.podIP)));
  });

  test('procMount: Unmasked shows all of /proc to a pod with users of its own', async () => {
    const script = 'grep -cE " /proc/(kcore|sys|irq)" /proc/self/mountinfo';
    await apply(
      pod('unmasked', [shell(script, { securityContext: { procMount: 'Unmasked' } })], { hostUsers: false }),
      pod('masked', [shell(script)], { hostUsers: false }),
    );
    await Promise.all([when('unmasked', 'its end', hasEnded), when('masked', 'its end', hasEnded)]);
    assert.equal(await logs('unmasked'), '0\n');
    assert.notEqual(await logs('masked'), '0\n');
  });

  const hasEnded = ({ status }: Pod) => status?.phase === 'Succeeded' || status?.phase === 'Failed';

  test('groups, capabilities, filters, read-only roots and stop signals', async () => {
    const status = 'id -G; grep -E "^(CapEff|NoNewPrivs|Seccomp):" /proc/self/status; touch /x 2>&1';
    const strict = { runAsUser: 1000, runAsGroup: 2000, supplementalGroups: [3000], fsGroup: 4000, supplementalGroupsPolicy: 'Strict' };
    const own = { capabilities: { drop: ['ALL'] }, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true };
    const localhostProfile = 'no-directories.json';
    await apply(
      pod('confined', [shell(status, { securityContext: own })], { securityContext: strict }),
      pod('profiled', [shell('mkdir /x 2>&1; touch /y && echo ok')], {
        securityContext: { seccompProfile: { type: 'Localhost', localhostProfile } },
      }),
      pod('profileless', [shell('true')], { securityContext: { seccompProfile: { type: 'Localhost', localhostProfile: 'none.json' } } }),
      pod(
        'signalled',
        [
          shell('trap "echo usr1 > /dev/termination-log; exit 0" USR1; while :; do sleep 0.1; done', {
            lifecycle: { stopSignal: 'SIGUSR1' },
          }),
        ],
        {
          os: { name: 'linux' },
          restartPolicy: 'Always',
        },
      ),
    );
    await when('confined', 'its end', hasEnded);
    assert.equal(
      await logs('confined'),
      '2000 3000 4000\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\ntouch: /x: Read-only file system\n',
    );
    const confined = statusOf(await read('confined'));
    assert.deepEqual(confined?.user?.linux, { uid: 1000, gid: 2000, supplementalGroups: [2000, 3000, 4000] });
    assert.equal(confined?.stopSignal, 'SIGTERM', 'where neither the container nor its image says another');
    await when('profiled', 'its end', hasEnded);
    assert.match(await logs('profiled'), /Function not implemented\nok\n$/);
    const waiting = await when('profileless', 'to say why', found => statusOf(found)?.state?.waiting?.reason === 'CreateContainerError');
    assert.match(statusOf(waiting)?.state?.waiting?.message ?? '', /cannot load seccomp profile ".*none.json".*no such file or directory/);
    const up = await inPhase('signalled', 'Running');
    assert.equal(statusOf(up)?.stopSignal, 'SIGUSR1');
  });

  test('what this node can not give is refused in the kubelet’s words', async () => {
    const sysctl = (name: string) => ({ securityContext: { sysctls: [{ name, value: '1' }] } });
    await apply(
      pod('unsafe', [shell('true')], sysctl('kernel.msgmax')),
      pod('safe', [shell('cat /proc/sys/net/ipv4/tcp_syncookies')], sysctl('net.ipv4.tcp_syncookies')),
      pod('labelled', [shell('true')], { securityContext: { seLinuxOptions: { level: 's0:c1' } } }),
      pod('armoured', [shell('true')], { securityContext: { appArmorProfile: { type: 'RuntimeDefault' } } }),
    );
    const unsafe = await inPhase('unsafe', 'Failed');
    assert.deepEqual(
      [unsafe.status?.reason, unsafe.status?.message],
      ['SysctlForbidden', 'Pod was rejected: forbidden sysctl: "kernel.msgmax" not allowlisted'],
    );
    await inPhase('safe', 'Succeeded');
    assert.equal(await logs('safe'), '1\n');
    const { appArmorProfiles, hasSelinux } = readSecurityModules();
    if (!appArmorProfiles) assert.equal((await inPhase('armoured', 'Failed')).status?.reason, 'AppArmor');
    if (hasSelinux) return;
    await inPhase('labelled', 'Succeeded');
    const said = await until('an event of the labelled pod', async () => {
      const about = 'involvedObject.name=labelled,reason=SELinuxUnavailable';
      return (await cluster.kubectl('get', 'events', '--field-selector', about, '-o', 'jsonpath={.items[*].message}')) || undefined;
    });
    assert.equal(said, 'seLinuxOptions are without effect: SELinux is not enabled on the host');
  });

  test('limits of a pod hold for all of its containers, read-only mounts all the way down', async () => {
    const resources = { limits: { memory: '64Mi', cpu: '500m' }, requests: { memory: '32Mi', cpu: '100m' } };
    const volumeMounts = [mounted('e', '/e', { readOnly: true, recursiveReadOnly: 'Enabled' })];
    await apply(pod('together', [shell(FOREVER, { volumeMounts })], { resources, volumes: [{ name: 'e', emptyDir: {} }] }));
    const found = await inPhase('together', 'Running');
    assert.deepEqual(
      statusOf(found)?.volumeMounts?.find(({ name }) => name === 'e'),
      {
        name: 'e',
        mountPath: '/e',
        readOnly: true,
        recursiveReadOnly: 'Enabled',
      },
    );
    const { controllers, unified, version } = readCgroupLayout();
    const group = `${cluster.name}/burstable/pod${found.metadata.uid}`;
    const [root, file] = version === 'v2' ? [unified, 'memory.max'] : [controllers.memory, 'memory.limit_in_bytes'];
    assert.equal(readFileSync(`${root}/${group}/${file}`, 'utf8').trim(), String(64 << 20));
  });

  test('the Node says what its runtime handlers can do', async () => {
    const status = await until('the Node to say it', async () => {
      const [node] = JSON.parse(await cluster.kubectl('get', 'nodes', '-o', 'json')).items;
      return node.status.runtimeHandlers ? node.status : undefined;
    });
    assert.deepEqual(status.features, { supplementalGroupsPolicy: true });
    const own = status.runtimeHandlers.find(({ name = '' }: { name?: string }) => name === '');
    assert.deepEqual(own.features, { recursiveReadOnlyMounts: true, userNamespaces: true });
  });
});
