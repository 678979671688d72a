import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Pod } from '#kinds/pod.ts';
import { TestCluster, until } from './cluster.ts';
import { FOREVER, pod, shell } from './pod-manifests.ts';
import { podsOf } from './pods.ts';
import { serveRegistry, type TestRegistry } from './registry.ts';
import { inTerminal } from './terminal.ts';

const exec = (script: string) => ({ exec: { command: ['sh', '-c', script] } });
const QUICK = { periodSeconds: 1, failureThreshold: 1 };

describe('pods: what a manifest says is what runs', () => {
  let cluster: TestCluster;
  let registry: TestRegistry;
  let shared: string;

  before(async () => {
    cluster = await TestCluster.up();
    await cluster.loadBusybox();
    registry = await serveRegistry(join(cluster.directory, 'registry'));
    await registry.push(join(cluster.directory, 'busybox.tar'), 'team/busybox:1');
    shared = join(cluster.directory, 'shared');
    mkdirSync(shared);
    await apply(
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings' }, data: { color: 'green', 'app.conf': 'one' } },
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'hidden' }, stringData: { password: 'p4ss' } },
      ...early(),
    );
  });
  after(async () => {
    await registry[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
  });

  const { apply, read, when, inPhase } = podsOf(() => cluster);
  const statusOf = (found: Pod, container = 'main') =>
    [...(found.status?.containerStatuses ?? []), ...(found.status?.initContainerStatuses ?? [])].find(({ name }) => name === container);
  const ready = (name: string) =>
    when(name, 'to be ready', ({ status }) => status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True'));
  const logs = (...args: string[]) => cluster.kubectl('logs', ...args);
  const inPod = (name: string, script: string) => cluster.kubectl('exec', name, '--', 'sh', '-c', script);
  const eventsOf = async (name: string) =>
    (
      await cluster.kubectl(
        'get',
        'events',
        '--field-selector',
        `involvedObject.name=${name}`,
        '-o',
        'jsonpath={range .items[*]}{.reason}: {.message}{"\\n"}{end}',
      )
    ).split('\n');

  /** Pods that take their time: started together, looked at later. */
  const early = () => [
    pod('crash', [shell('echo said before dying; exit 3')], { restartPolicy: 'Always' }),
    pod(
      'live-exec',
      [shell('touch /tmp/ok; sleep 1; rm /tmp/ok; sleep 1000', { livenessProbe: { ...exec('test -f /tmp/ok'), ...QUICK } })],
      { restartPolicy: 'Always' },
    ),
    pod(
      'live-http',
      [
        shell('mkdir /www; touch /www/ok; (sleep 1; rm /www/ok) & exec httpd -f -p 80 -h /www', {
          livenessProbe: { httpGet: { path: '/ok', port: 80 }, ...QUICK },
        }),
      ],
      { restartPolicy: 'Always' },
    ),
    pod(
      'live-tcp',
      [
        shell('nc -lk -p 80 -e true & sleep 1; kill $!; sleep 1000', {
          livenessProbe: { tcpSocket: { port: 80 }, initialDelaySeconds: 1, ...QUICK },
        }),
      ],
      { restartPolicy: 'Always' },
    ),
    pod(
      'starting',
      [
        shell(`sleep 2; touch /tmp/up; ${FOREVER}`, {
          startupProbe: { ...exec('test -f /tmp/up'), periodSeconds: 1, failureThreshold: 30 },
          livenessProbe: { ...exec('test -f /tmp/up'), ...QUICK },
        }),
      ],
      { restartPolicy: 'Always' },
    ),
    pod('late', [shell('sleep 1000')], { activeDeadlineSeconds: 2 }),
    pod(
      'living',
      [
        shell(FOREVER, {
          volumeMounts: [
            { name: 'settings', mountPath: '/settings' },
            { name: 'hidden', mountPath: '/hidden', readOnly: true },
            { name: 'about', mountPath: '/about' },
            { name: 'settings', mountPath: '/single.conf', subPath: 'app.conf' },
          ],
        }),
      ],
      {
        volumes: [
          { name: 'settings', configMap: { name: 'settings' } },
          { name: 'hidden', secret: { secretName: 'hidden', defaultMode: 0o400 } },
          { name: 'about', downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
        ],
      },
    ),
  ];

  test('init containers one after another, a sidecar beside, then the main one', async () => {
    const work = { volumeMounts: [{ name: 'work', mountPath: '/data' }] };
    await apply(
      pod('ordered', [shell('cat /data/order', work)], {
        volumes: [{ name: 'work', emptyDir: {} }],
        initContainers: [
          shell('sleep 0.3; echo first >> /data/order', { name: 'first', ...work }),
          shell(`echo sidecar >> /data/order; ${FOREVER}`, {
            name: 'sidecar',
            restartPolicy: 'Always',
            startupProbe: { ...exec('grep sidecar /data/order'), periodSeconds: 1 },
            ...work,
          }),
          shell('echo last >> /data/order', { name: 'last', ...work }),
        ],
      }),
    );
    const ended = await inPhase('ordered', 'Succeeded');
    assert.equal(await logs('ordered', '-c', 'main'), 'first\nsidecar\nlast\n');
    assert.deepEqual(
      ended.status?.initContainerStatuses?.map(({ name, state }) => [name, state?.terminated?.exitCode]),
      [
        ['first', 0],
        ['sidecar', 0],
        ['last', 0],
      ],
    );
    const failing = pod('uninitialised', [shell('echo never')], { initContainers: [shell('exit 9', { name: 'setup' })] });
    await apply(failing);
    const failed = await inPhase('uninitialised', 'Failed');
    assert.equal(statusOf(failed, 'setup')?.state?.terminated?.exitCode, 9);
    assert.equal(statusOf(failed)?.state?.waiting?.reason, 'PodInitializing');
    assert.match(await cluster.kubectl('get', 'pod', 'uninitialised'), /Init:Error/);
  });

  test('restart policies, with back-off', async () => {
    const marked = { volumeMounts: [{ name: 'mark', mountPath: '/mark' }] };
    await apply(
      pod('second-try', [shell('test -f /mark/been && exit 0; touch /mark/been; exit 1', marked)], {
        restartPolicy: 'OnFailure',
        volumes: [{ name: 'mark', emptyDir: {} }],
      }),
      pod('once', [shell('exit 4')]),
    );
    const once = await inPhase('once', 'Failed');
    assert.equal(statusOf(once)?.state?.terminated?.exitCode, 4);
    assert.equal(statusOf(once)?.restartCount, 0);
    const crashing = await when('crash', 'CrashLoopBackOff', found => statusOf(found)?.state?.waiting?.reason === 'CrashLoopBackOff');
    assert.equal(statusOf(crashing)?.lastState?.terminated?.exitCode, 3);
    assert.match(statusOf(crashing)?.state?.waiting?.message ?? '', /back-off \S+ restarting failed container/);
    const again = await when('crash', 'another start', found => (statusOf(found)?.restartCount ?? 0) >= 1);
    assert.equal(again.status?.phase, 'Running');
    assert.match(await cluster.kubectl('get', 'pod', 'crash'), /crash +0\/1 +(CrashLoopBackOff|Error) +[1-9]/);
    assert.equal(await logs('crash', '--previous'), 'said before dying\n');
    assert.ok((await eventsOf('crash')).some(line => line.startsWith('BackOff: ')));
    const second = await inPhase('second-try', 'Succeeded');
    assert.equal(statusOf(second)?.restartCount, 1);
  });

  test('probes: liveness by exec, HTTP and TCP restarts; startup holds liveness back', async () => {
    for (const name of ['live-exec', 'live-http', 'live-tcp']) {
      await when(name, 'a restart', found => (statusOf(found)?.restartCount ?? 0) >= 1);
      const events = await eventsOf(name);
      assert.ok(
        events.some(line => line.startsWith('Unhealthy: Liveness probe failed')),
        `${name}: ${events.join('; ')}`,
      );
      assert.ok(
        events.some(line => line.startsWith('Killing: ')),
        `${name}: ${events.join('; ')}`,
      );
    }
    const started = await ready('starting');
    assert.equal(statusOf(started)?.restartCount, 0);
    assert.equal(statusOf(started)?.started, true);
  });

  test('environment from everything', async () => {
    await apply(
      pod('env', [
        shell('env | sort', {
          resources: { limits: { memory: '64Mi', cpu: '500m' }, requests: { cpu: '100m' } },
          envFrom: [{ prefix: 'ALL_', configMapRef: { name: 'settings' } }, { secretRef: { name: 'hidden' } }],
          env: [
            { name: 'COLOR', valueFrom: { configMapKeyRef: { name: 'settings', key: 'color' } } },
            { name: 'PASS', valueFrom: { secretKeyRef: { name: 'hidden', key: 'password' } } },
            { name: 'NONE', valueFrom: { configMapKeyRef: { name: 'absent', key: 'x', optional: true } } },
            { name: 'POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
            { name: 'APP', valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
            { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
            { name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
            { name: 'MEMORY', valueFrom: { resourceFieldRef: { resource: 'limits.memory', divisor: '1Mi' } } },
            { name: 'CPU', valueFrom: { resourceFieldRef: { resource: 'requests.cpu', divisor: '1m' } } },
            { name: 'BOTH', value: '$(POD) is $(COLOR) $$(POD) $(UNKNOWN)' },
          ],
        }),
      ]),
      pod('unset', [shell('true', { env: [{ name: 'X', valueFrom: { configMapKeyRef: { name: 'absent', key: 'x' } } }] })]),
    );
    const ended = await inPhase('env', 'Succeeded');
    const env = Object.fromEntries(
      (await logs('env'))
        .trim()
        .split('\n')
        .map(line => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    );
    const wanted = {
      ALL_color: 'green',
      password: 'p4ss',
      COLOR: 'green',
      PASS: 'p4ss',
      POD: 'env',
      APP: 'env',
      IP: ended.status?.podIP,
      NODE: ended.spec.nodeName,
      MEMORY: '64',
      CPU: '100',
      BOTH: 'env is green $(POD) $(UNKNOWN)',
      HOSTNAME: 'env',
      KUBERNETES_SERVICE_PORT: '443',
    };
    assert.deepEqual(Object.fromEntries(Object.keys(wanted).map(key => [key, env[key]])), wanted);
    assert.equal('NONE' in env, false);
    const unset = await when('unset', 'an explanation', found => statusOf(found)?.state?.waiting?.reason === 'CreateContainerConfigError');
    assert.match(statusOf(unset)?.state?.waiting?.message ?? '', /configmap "absent" not found/);
  });

  test('volumes: shared, in memory, from the machine, projected, read-only', async () => {
    writeFileSync(join(shared, 'from-machine'), 'machine\n');
    const mounts = [
      { name: 'both', mountPath: '/both' },
      { name: 'ram', mountPath: '/ram' },
      { name: 'machine', mountPath: '/machine' },
    ];
    await apply(
      pod(
        'volumes',
        [
          shell(
            'until test -f /both/note; do sleep 0.05; done; cat /both/note; mount | grep " /ram "; cat /machine/from-machine; echo pod > /machine/from-pod; stat -c %a /all/hidden/word; cat /all/labels /all/conf',
            {
              volumeMounts: [...mounts, { name: 'all', mountPath: '/all' }],
            },
          ),
          shell('echo from the other > /both/note', { name: 'other', volumeMounts: mounts }),
        ],
        {
          volumes: [
            { name: 'both', emptyDir: {} },
            { name: 'ram', emptyDir: { medium: 'Memory', sizeLimit: '8Mi' } },
            { name: 'machine', hostPath: { path: shared, type: 'Directory' } },
            {
              name: 'all',
              projected: {
                sources: [
                  { secret: { name: 'hidden', items: [{ key: 'password', path: 'hidden/word', mode: 0o440 }] } },
                  { configMap: { name: 'settings', items: [{ key: 'app.conf', path: 'conf' }] } },
                  { downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
                ],
              },
            },
          ],
        },
      ),
    );
    await inPhase('volumes', 'Succeeded');
    const lines = (await logs('volumes', '-c', 'main')).trim().split('\n');
    assert.equal(lines[0], 'from the other');
    assert.match(lines[1] ?? '', /^tmpfs on \/ram type tmpfs \(.*size=8192k/);
    assert.equal(lines[2], 'machine');
    assert.equal(readFileSync(join(shared, 'from-pod'), 'utf8'), 'pod\n');
    assert.deepEqual(lines.slice(3, 6), ['440', 'app="volumes"one']);
  });

  test('ConfigMap, Secret and labels reach a running pod, whole', async () => {
    await ready('living');
    assert.equal(
      await inPod('living', 'cat /settings/app.conf /single.conf /hidden/password; stat -L -c %a /hidden/password; ls /settings'),
      'oneonep4ss400\napp.conf\ncolor\n',
    );
    const watch =
      'i=0; while [ $i -lt 600 ]; do a=$(cat /settings/app.conf) || echo GAP; case "$a" in one) ;; two) echo $a; exit;; *) echo TORN "$a";; esac; i=$((i+1)); sleep 0.02; done; echo LATE';
    const seen = inPod('living', watch);
    await apply(
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings' }, data: { color: 'green', 'app.conf': 'two', added: 'x' } },
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'hidden' }, stringData: { password: 'changed' } },
    );
    await cluster.kubectl('label', 'pod', 'living', 'tier=front');
    assert.equal(await seen, 'two\n');
    let last = '';
    const now = await until(
      'all of it',
      async () => {
        const text = await inPod('living', 'cat /settings/added /hidden/password /single.conf; echo; sort /about/labels');
        last = text;
        return text.includes('tier') && text.includes('changed') && text;
      },
      10_000,
    ).catch(error => assert.fail(`${error.message}: ${last}`));
    assert.equal(now, 'xchangedone\napp="living"\ntier="front"\n', 'a subPath stays as it was');
  });

  test('the token in a pod says who it is, and for how long', async () => {
    const token = await inPod('living', 'cat /var/run/secrets/kubernetes.io/serviceaccount/token');
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    const living = await read('living');
    assert.equal(claims.sub, 'system:serviceaccount:default:default');
    assert.equal(claims['kubernetes.io'].pod.name, 'living');
    assert.equal(claims['kubernetes.io'].pod.uid, living.metadata.uid);
    assert.ok(claims.exp > Date.now() / 1000 + 600 && claims.exp <= Date.now() / 1000 + 366 * 86_400);
    await apply(
      pod('tokens', [shell('cat /t/token', { volumeMounts: [{ name: 't', mountPath: '/t' }] })], {
        automountServiceAccountToken: false,
        volumes: [
          { name: 't', projected: { sources: [{ serviceAccountToken: { path: 'token', audience: 'vault', expirationSeconds: 700 } }] } },
        ],
      }),
      pod('tokenless', [shell('ls /var/run/secrets/kubernetes.io 2>&1')], { automountServiceAccountToken: false }),
    );
    await inPhase('tokens', 'Succeeded');
    const own = JSON.parse(Buffer.from((await logs('tokens')).split('.')[1] ?? '', 'base64url').toString());
    assert.deepEqual(own.aud, ['vault']);
    assert.equal(own.exp - own.iat, 700);
    await inPhase('tokenless', 'Failed');
  });

  test('security: users, capabilities, seccomp, no new privileges, a read-only root', async () => {
    const look =
      'id -u; id -g; grep -E "^(CapEff|CapBnd|Seccomp|NoNewPrivs):" /proc/self/status | tr "\\t" " "; touch /x 2>&1; touch /proc/sysrq-trigger 2>&1; true';
    await apply(
      pod('plain', [shell(look)]),
      pod('strict', [
        shell(look, {
          securityContext: {
            runAsUser: 1234,
            runAsGroup: 2345,
            readOnlyRootFilesystem: true,
            allowPrivilegeEscalation: false,
            capabilities: { drop: ['ALL'], add: ['NET_BIND_SERVICE'] },
            seccompProfile: { type: 'RuntimeDefault' },
          },
        }),
      ]),
      pod('no-root', [shell('true', { securityContext: { runAsNonRoot: true } })]),
      pod('open', [shell(look, { securityContext: { privileged: true } })]),
      pod('groups', [shell('id -G; stat -c %g /v; touch /v/x; stat -c %g /v/x', { volumeMounts: [{ name: 'v', mountPath: '/v' }] })], {
        securityContext: { runAsUser: 1234, fsGroup: 777, supplementalGroups: [888] },
        volumes: [{ name: 'v', emptyDir: {} }],
      }),
    );
    await Promise.all(['plain', 'strict', 'open', 'groups'].map(name => inPhase(name, 'Succeeded')));
    const strict = await logs('strict');
    assert.match(strict, /^1234\n2345\n/);
    assert.match(strict, /CapBnd: 0000000000000400\n/);
    assert.match(strict, /NoNewPrivs: 1\nSeccomp: 2\n/);
    assert.match(strict, /touch: \/x: Read-only file system/);
    const plain = await logs('plain');
    assert.match(plain, /^0\n0\nCapEff: 00000000a80425fb\n/);
    assert.match(plain, /Seccomp: 2\n/);
    assert.doesNotMatch(plain, /touch: \/x/);
    assert.match(await logs('open'), /Seccomp: 0\n/);
    const groups = (await logs('groups')).trim().split('\n');
    assert.deepEqual(groups[0]?.split(' ').sort(), ['0', '777', '888']);
    assert.deepEqual(groups.slice(1), ['777', '777']);
    const refused = await when('no-root', 'a refusal', found => statusOf(found)?.state?.waiting?.reason === 'CreateContainerConfigError');
    assert.match(statusOf(refused)?.state?.waiting?.message ?? '', /runAsNonRoot/);
  });

  test('limits: memory with OOM, CPU quota, in the control groups', async () => {
    await apply(
      pod('greedy', [shell('tail /dev/zero', { resources: { limits: { memory: '24Mi' } } })]),
      pod('limited', [
        shell(
          'cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/memory.max',
          { resources: { limits: { cpu: '250m', memory: '32Mi' } } },
        ),
      ]),
    );
    const greedy = await inPhase('greedy', 'Failed');
    assert.equal(statusOf(greedy)?.state?.terminated?.reason, 'OOMKilled');
    assert.equal(statusOf(greedy)?.state?.terminated?.exitCode, 137);
    assert.match(await cluster.kubectl('get', 'pod', 'greedy'), /OOMKilled/);
    const limited = await inPhase('limited', 'Succeeded');
    assert.match((await logs('limited')).replaceAll(/\s+/g, ' '), /^25000 100000 33554432 $/);
    assert.equal(limited.status?.qosClass, 'Guaranteed');
  });

  test('termination messages, deadlines', async () => {
    await apply(
      pod('last-words', [shell('echo -n goodbye > /dev/termination-log; exit 2')]),
      pod('last-log', [shell('echo something broke; exit 2', { terminationMessagePolicy: 'FallbackToLogsOnError' })]),
    );
    assert.equal(statusOf(await inPhase('last-words', 'Failed'))?.state?.terminated?.message, 'goodbye');
    assert.equal(statusOf(await inPhase('last-log', 'Failed'))?.state?.terminated?.message, 'something broke\n');
    const late = await inPhase('late', 'Failed');
    assert.equal(late.status?.reason, 'DeadlineExceeded');
  });

  test('hooks, and an end that is asked for politely', async () => {
    const machine = { volumes: [{ name: 'machine', hostPath: { path: shared } }] };
    const mounted = { volumeMounts: [{ name: 'machine', mountPath: '/machine' }] };
    const polite = pod(
      'polite',
      [
        shell('trap "echo TERM >> /machine/polite; exit 7" TERM; while true; do sleep 0.1; done', {
          ...mounted,
          lifecycle: { postStart: exec('echo started >> /machine/polite'), preStop: exec('echo stopping >> /machine/polite; sleep 0.3') },
        }),
      ],
      { ...machine, terminationGracePeriodSeconds: 20 },
    );
    const deaf = pod('deaf', [shell('trap "" TERM; while true; do sleep 0.1; done')]);
    const held = (of: ReturnType<typeof pod>) => ({ ...of, metadata: { ...of.metadata, finalizers: ['umiak.test/hold'] } });
    await apply(
      held(polite),
      held(deaf),
      pod('forced', [shell('trap "" TERM; while true; do sleep 0.1; done')], { terminationGracePeriodSeconds: 600 }),
    );
    await Promise.all(['polite', 'deaf', 'forced'].map(ready));
    await cluster.kubectl('delete', 'pod', 'polite', 'deaf', '--wait=false');
    const began = performance.now();
    await cluster.kubectl('delete', 'pod', 'forced', '--force', '--grace-period=0');
    assert.ok(performance.now() - began < 5000);
    assert.equal((await cluster.tryKubectl('get', 'pod', 'forced')).code, 1);
    const ended = await when('polite', 'its end', found => statusOf(found)?.state?.terminated !== undefined);
    assert.equal(statusOf(ended)?.state?.terminated?.exitCode, 7);
    assert.equal(readFileSync(join(shared, 'polite'), 'utf8'), 'started\nstopping\nTERM\n');
    const killed = await when('deaf', 'its end', found => statusOf(found)?.state?.terminated !== undefined);
    assert.equal(statusOf(killed)?.state?.terminated?.exitCode, 137);
    for (const name of ['polite', 'deaf']) {
      await cluster.kubectl('patch', 'pod', name, '-p', '{"metadata":{"finalizers":null}}');
      await until(`${name} to be gone`, async () => (await cluster.tryKubectl('get', 'pod', name)).code === 1);
    }
    await until('no process of the forced one', () => !runs('HOSTNAME=forced'));
  });
  const runs = (mark: string) => {
    const found = cluster.processes().find(({ environment }) => environment.includes(mark));
    return found !== undefined;
  };

  test('pull policies, bad names, a real registry', async () => {
    const from = (image: string, imagePullPolicy: string) => shell('echo pulled', { image, imagePullPolicy });
    await apply(
      pod('never-there', [from('absent.test/nothing:1', 'Never')]),
      pod('misnamed', [from('UPPER/Case::1', 'Always')]),
      pod('pulled', [from(`${registry.address}/team/busybox:1`, 'Always')]),
      pod('no-such-tag', [from(`${registry.address}/team/busybox:2`, 'IfNotPresent')]),
    );
    const waiting = (name: string, ...reasons: string[]) =>
      when(name, reasons.join(), found => reasons.includes(statusOf(found)?.state?.waiting?.reason ?? ''));
    const absent = await waiting('never-there', 'ErrImageNeverPull');
    assert.match(statusOf(absent)?.state?.waiting?.message ?? '', /absent\.test\/nothing:1/);
    await waiting('misnamed', 'InvalidImageName');
    await waiting('no-such-tag', 'ErrImagePull', 'ImagePullBackOff');
    assert.ok((await eventsOf('no-such-tag')).some(line => /^Failed: .*team\/busybox:2/.test(line)));
    const pulled = await inPhase('pulled', 'Succeeded');
    assert.equal(await logs('pulled'), 'pulled\n');
    assert.match(statusOf(pulled)?.imageID ?? '', /sha256:[0-9a-f]{64}/);
    const events = await eventsOf('pulled');
    assert.ok(
      events.some(line => line.startsWith('Pulled: ')),
      events.join('\n'),
    );
    const tagged = await waiting('no-such-tag', 'ImagePullBackOff');
    assert.match(statusOf(tagged)?.state?.waiting?.message ?? '', /[Bb]ack-off/);
  });

  test('logs: containers, tail, timestamps, follow to the end', async () => {
    await apply(
      pod('talker', [
        shell('for i in 1 2 3 4 5; do echo line $i; done; until test -f /tmp/go; do sleep 0.05; done; echo end'),
        shell('echo -n unfinished; echo on stderr >&2', { name: 'second' }),
      ]),
    );
    await until('its words', async () => (await cluster.tryKubectl('logs', 'talker', '-c', 'main')).stdout.includes('line 5'));
    assert.equal(await logs('talker', '-c', 'main', '--tail=2'), 'line 4\nline 5\n');
    assert.match(await logs('talker', '-c', 'main', '--tail=1', '--timestamps'), /^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z line 5\n$/);
    assert.equal(await logs('talker', '-c', 'main', '--limit-bytes=6'), 'line 1');
    assert.equal(await logs('talker', '-c', 'main', '--since=1h', '--tail=-1'), 'line 1\nline 2\nline 3\nline 4\nline 5\n');
    const follower = spawn(join(import.meta.dirname, '../.bin/kubectl'), ['logs', 'talker', '-c', 'main', '-f', '--tail=1'], {
      env: { ...process.env, KUBECONFIG: cluster.kubeconfig },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = new Promise(done => follower.once('close', done));
    let followed = '';
    follower.stdout.setEncoding('utf8').on('data', chunk => (followed += chunk));
    // Its tail is cut before more is said.
    await until('the follower to have begun', () => followed === 'line 5\n').catch(() => assert.fail(followed));
    await cluster.kubectl('exec', 'talker', '-c', 'main', '--', 'touch', '/tmp/go');
    await ended;
    assert.equal(followed, 'line 5\nend\n');
    const all = await logs('talker', '--all-containers', '--prefix');
    assert.match(all, /\[pod\/talker\/main\] line 1\n/);
    assert.match(all, /\[pod\/talker\/second\] (unfinished)?on stderr\n/);
    const unnamed = await cluster.tryKubectl('logs', 'talker', '-c', 'third');
    assert.match(unnamed.stderr, /container third is not valid for pod talker/);
    const never = await cluster.tryKubectl('logs', 'living', '--previous');
    assert.match(never.stderr, /previous terminated container "main" in pod "living" not found/);
  });

  test('exec with a terminal, pipes of megabytes, attach, cp', async () => {
    const line =
      'stty rows 33 cols 99; kubectl exec -it living -- sh -c "tty; until stty size 2>/dev/null | grep 33; do sleep 0.05; done; exit 5"';
    const tty = await inTerminal(line, { KUBECONFIG: cluster.kubeconfig });
    assert.match(tty.output, /\/dev\/pts\/\d+\r\n33 99\r\n/);
    assert.equal(tty.code, 5);
    const data = randomBytes(3 << 20).toString('base64');
    const echoed = await cluster.tryKubectlWith(data, 'exec', '-i', 'living', '--', 'cat');
    assert.equal(echoed.code, 0, echoed.stderr);
    assert.equal(sha256(echoed.stdout), sha256(data), `${echoed.stdout.length} bytes of ${data.length}`);
    const counted = await cluster.tryKubectlWith(data, 'exec', '-i', 'living', '--', 'sh', '-c', 'sha256sum; echo done >&2');
    assert.equal(counted.stdout, `${sha256(data)}  -\n`);
    assert.equal(counted.stderr, 'done\n');
    assert.equal(
      sha256(await inPod('living', 'yes 0123456789abcdef | head -c 8000000')),
      sha256('0123456789abcdef\n'.repeat(470_589).slice(0, 8_000_000)),
    );
    const absent = await cluster.tryKubectl('exec', 'living', '--', 'no-such-program');
    assert.ok(absent.code !== 0 && /no-such-program/.test(absent.stderr), absent.stderr);

    const [there, back] = [join(cluster.directory, 'there'), join(cluster.directory, 'back')];
    writeFileSync(there, data);
    await cluster.kubectl('cp', there, 'living:/tmp/there');
    await cluster.kubectl('cp', 'living:/tmp/there', back);
    assert.equal(readFileSync(back, 'utf8'), data);

    await apply(pod('listener', [shell('while read line; do echo heard $line; done; echo over', { stdin: true, stdinOnce: true })]));
    await ready('listener');
    const heard = await cluster.tryKubectlWith('one\ntwo\n', 'attach', '-i', 'listener');
    assert.match(heard.stdout, /heard one\nheard two\n/);
    await inPhase('listener', 'Succeeded');
    const ran = await cluster.tryKubectlWith(
      'piped\n',
      'run',
      'typed',
      '--image=busybox:test',
      '--image-pull-policy=IfNotPresent',
      '--restart=Never',
      '--rm',
      '-i',
      '--quiet',
      '--',
      'cat',
    );
    assert.equal(ran.stdout, 'piped\n');
  });

  for (const [how, env] of [
    ['SPDY inside a WebSocket', {}],
    ['raw SPDY', { KUBECTL_PORT_FORWARD_WEBSOCKETS: 'false', KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false' }],
  ] as const) {
    test(`port-forward reaches what listens on the pod's own loopback, exec works: by ${how}`, async () => {
      const name = how.replaceAll(/\W/g, '').toLowerCase();
      const script = 'mkdir /www; head -c 3000000 /dev/zero >/www/zeros; httpd -f -p 127.0.0.1:8080 -h /www';
      await cluster.apply(JSON.stringify(pod(name, [shell(script, { readinessProbe: exec('test -s /www/zeros') })])));
      await cluster.kubectl('wait', '--for=condition=Ready', `pod/${name}`, '--timeout=60s');
      const forward = spawn(join(import.meta.dirname, '../.bin/kubectl'), ['port-forward', `pod/${name}`, ':8080', ':9'], {
        env: { ...process.env, ...env, KUBECONFIG: cluster.kubeconfig },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      try {
        let said = '';
        for (const stream of [forward.stdout, forward.stderr]) stream.setEncoding('utf8').on('data', chunk => (said += chunk));
        const port = (inside: number) => new RegExp(`127\\.0\\.0\\.1:(\\d+) -> ${inside}\n`).exec(said)?.[1];
        await until('both ports to be open', () => port(8080) !== undefined && port(9) !== undefined).catch(() => assert.fail(said));
        const sizes = await Promise.all(
          Array.from({ length: 5 }, async () => (await (await fetch(`http://127.0.0.1:${port(8080)}/zeros`)).arrayBuffer()).byteLength),
        );
        assert.deepEqual(sizes, [3_000_000, 3_000_000, 3_000_000, 3_000_000, 3_000_000]);
        await assert.rejects(fetch(`http://127.0.0.1:${port(9)}/`));
        await until('the reason', () => /error forwarding port 9 to pod/.test(said)).catch(() => assert.fail(said));
      } finally {
        forward.kill('SIGKILL');
      }
      const data = randomBytes(1 << 20).toString('base64');
      Object.assign(cluster.env, env);
      const echoed = await cluster.tryKubectlWith(data, 'exec', '-i', name, '--', 'sh', '-c', 'cat; echo done >&2; exit 7');
      for (const key of Object.keys(env)) delete cluster.env[key];
      assert.deepEqual([echoed.code, sha256(echoed.stdout)], [7, sha256(data)]);
      assert.match(echoed.stderr, /^done/);
    });
  }

  test('pods/proxy and services/proxy hand requests on', async () => {
    const script = 'mkdir -p /www/dir; echo hello >/www/dir/index.html; httpd -f -p 8080 -h /www';
    const ports = [{ name: 'web', containerPort: 8080 }];
    await cluster.apply(JSON.stringify(pod('proxied', [shell(script, { ports, readinessProbe: exec('test -s /www/dir/index.html') })])));
    const servicePorts = [{ name: 'front', port: 81, targetPort: 'web' }];
    const service = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'proxied' },
      spec: { selector: { app: 'proxied' }, ports: servicePorts },
    };
    await cluster.apply(JSON.stringify(service));
    await cluster.kubectl('wait', '--for=condition=Ready', 'pod/proxied', '--timeout=60s');
    const get = (path: string) => cluster.tryKubectl('get', '--raw', `/api/v1/namespaces/default/${path}`);
    for (const path of ['pods/proxied/proxy/dir/', 'pods/proxied:8080/proxy/dir/', 'pods/http:proxied:web/proxy/dir/index.html'])
      assert.equal((await get(path)).stdout, 'hello\n', path);
    await until('an endpoint', async () => (await get('services/proxied/proxy/dir/')).code === 0);
    for (const path of ['services/proxied:81/proxy/dir/', 'services/http:proxied:front/proxy/dir/', 'services/proxied/proxy/dir'])
      assert.equal((await get(path)).stdout, 'hello\n', path);
    for (const [path, why] of [
      ['pods/gone/proxy/', /pods "gone" not found/],
      ['pods/proxied:9/proxy/', /error trying to reach service/],
      ['services/proxied:9/proxy/', /no service port/],
      ['services/a:b:c:d/proxy/', /invalid pod or service name/],
    ] as const)
      assert.match((await get(path)).stderr, why, path);
  });

  test('a RuntimeClass chooses the runtime, and one that is not here says so', async () => {
    const classes = ['runc', 'kata'].map(handler => ({
      apiVersion: 'node.k8s.io/v1',
      kind: 'RuntimeClass',
      metadata: { name: handler },
      handler,
    }));
    await cluster.apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: classes }));
    await cluster.apply(JSON.stringify(pod('by-runc', [shell(FOREVER)], { runtimeClassName: 'runc' })));
    await cluster.kubectl('wait', '--for=condition=Ready', 'pod/by-runc', '--timeout=60s');
    assert.equal(readdirSync(join(cluster.runDir, 'engine/runc')).length, 1);
    await cluster.apply(JSON.stringify(pod('by-kata', [shell(FOREVER)], { runtimeClassName: 'kata' })));
    const events = async () =>
      await cluster.kubectl('get', 'events', '--field-selector', 'involvedObject.name=by-kata', '-o', 'jsonpath={.items[*].message}');
    await until('an event that says so', async () => /no runtime for "kata" is configured/.test(await events()));
    await cluster.kubectl('delete', 'pod', 'by-runc', 'by-kata', '--now');
  });

  test('an ephemeral container looks into the processes of a running one, and a resize reaches its control group', async () => {
    await cluster.apply(JSON.stringify(pod('looked-at', [shell(FOREVER, { resources: { limits: { memory: '64Mi', cpu: '100m' } } })])));
    await cluster.kubectl('wait', '--for=condition=Ready', 'pod/looked-at', '--timeout=60s');
    const debugged = await cluster.tryKubectl(
      ...['debug', 'looked-at', '--image=busybox:test', '--image-pull-policy=IfNotPresent', '--target=main', '--container=look'],
      ...['--', 'sh', '-c', 'ps; exit 3'],
    );
    assert.equal(debugged.code, 0, debugged.stderr);
    const statusOf = async () =>
      (JSON.parse(await cluster.kubectl('get', 'pod', 'looked-at', '-o', 'json')) as Pod).status?.ephemeralContainerStatuses?.[0];
    const ended = await until('the look to end', async () => (await statusOf())?.state?.terminated);
    assert.equal(ended.exitCode, 3);
    assert.match(await cluster.kubectl('logs', 'looked-at', '-c', 'look'), /sleep 100000/);

    const limits = { resources: { limits: { memory: '96Mi', cpu: '200m' }, requests: { memory: '96Mi', cpu: '200m' } } };
    const patch = JSON.stringify({ spec: { containers: [{ name: 'main', ...limits }] } });
    await cluster.kubectl('patch', 'pod', 'looked-at', '--subresource', 'resize', '-p', patch);
    await cluster.kubectl(
      'wait',
      '--for=jsonpath={.status.containerStatuses[0].resources.limits.memory}=96Mi',
      'pod/looked-at',
      '--timeout=60s',
    );
    const { containerStatuses } = (JSON.parse(await cluster.kubectl('get', 'pod', 'looked-at', '-o', 'json')) as Pod).status ?? {};
    assert.equal(containerStatuses?.[0]?.restartCount, 0);
    assert.match(
      await inPod('looked-at', 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true'),
      /100663296/,
    );
  });

  test('a followed log ends when its reader goes, and the kubelet keeps nothing of it', async () => {
    const child = spawn(join(import.meta.dirname, '../.bin/kubectl'), ['logs', '-f', 'living'], {
      env: { ...process.env, KUBECONFIG: cluster.kubeconfig },
    });
    await new Promise(spawned => child.once('spawn', spawned));
    child.kill('SIGKILL');
    await new Promise(closed => child.once('close', closed));
    assert.equal(await inPod('living', 'echo fine'), 'fine\n');
  });
});

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
