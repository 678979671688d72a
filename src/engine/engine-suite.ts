import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, afterEach, before, describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { createLog } from '#base/log.ts';
import { readCgroupLayout } from '#linux/cgroup.ts';
import { KernelChangeJournal } from '#linux/kernel-changes.ts';
import { identify, signalProcess, waitForEnd } from '#linux/process.ts';
import { Census, countResources } from '#tests/resources.ts';
import type { Container, ContainerConfig, EngineEvent, Sandbox, SandboxConfig } from './engine.ts';
import type { LocalEngine } from './local-engine.ts';
import { applyMachine } from './machine.ts';
import { openEngine } from './open-engine.ts';
import { EnginePaths } from './paths.ts';
import { type ContainerRecord, readRecord } from './records.ts';
import { removeInstance } from './remove-instance.ts';
import { BusyboxImages, LoopbackNetworks } from './testing.ts';
import { findMonitors } from './world.ts';

/** In a machine that systemd has started. */
const cgroupDriver = process.env.UMIAK_TEST_CGROUP_DRIVER === 'systemd' ? 'systemd' : 'cgroupfs';
const isV2 = readCgroupLayout().version === 'v2';

/** What every OCI runtime under the engine must do, with real containers. Needs root. */
export function runEngineSuite(runtime: string): void {
  describe(`engine over ${runtime}`, () => {
    const instance = `enginetest-${runtime}-${process.pid}`;
    const directory = mkdtempSync(join(tmpdir(), `${instance}-`));
    const scope = { instance, directories: [directory] };
    const kernel = new KernelChangeJournal({ holder: instance });
    const dirs = { dataDir: `${directory}/data`, runDir: `${directory}/run` };
    const networks = new LoopbackNetworks(`${directory}/netns`);
    const images = new BusyboxImages(`${directory}/image`);
    let engine: LocalEngine;
    let census: Census;

    const open = (options: { bootId?: string } = {}) =>
      openEngine({ ...dirs, instance, runtime, cgroupDriver, images, networks, log: createLog({ level: 'warn' }), ...options });
    const reopen = async (options: { bootId?: string } = {}) => {
      await engine[Symbol.asyncDispose]();
      engine = await open(options);
    };
    const sandbox = (config: Partial<SandboxConfig> = {}) =>
      engine.createSandbox({
        owner: 'node',
        metadata: { name: 'pod', namespace: 'default', uid: 'u', attempt: 0 },
        network: 'pod',
        ...config,
      });
    const create = async (script: string, config: Partial<ContainerConfig> = {}, inside?: Sandbox) =>
      engine.createContainer({
        sandboxId: (inside ?? (await sandbox())).id,
        metadata: { name: 'main', attempt: 0 },
        image: 'busybox',
        command: ['sh', '-c', script],
        ...config,
      });
    const start = async (script: string, config: Partial<ContainerConfig> = {}, inside?: Sandbox) =>
      engine.startContainer((await create(script, config, inside)).id);
    const run = async (script: string, config: Partial<ContainerConfig> = {}, inside?: Sandbox) => {
      const container = await start(script, config, inside);
      return { container: await exited(engine, container.id), output: await text(engine.logs(container.id)) };
    };
    /** Waits until a container has written that line. */
    const said = async (id: string, line: string) => {
      for await (const chunk of engine.logs(id, { follow: true })) if (String(chunk).includes(line)) return;
      assert.fail(`${id} ended without saying ${line}`);
    };

    before(async () => {
      await applyMachine(kernel);
      engine = await open();
      await sandbox().then(({ id }) => engine.removeSandbox(id));
      await warmUp();
      census = new Census(scope);
    });
    /** What Node opens once and keeps. */
    const warmUp = async () => {
      const { container } = await run('true', {}, await sandbox({ pid: 'pod' }));
      await engine.removeSandbox(container.config.sandboxId);
      watch(directory).close();
    };
    afterEach(async () => {
      for (const { id } of engine.sandboxes()) await engine.removeSandbox(id);
      await census.settle(); // the thread that serves attached streams ends with the last of them, not at once
    });
    after(async () => {
      await engine[Symbol.asyncDispose]();
      await removeInstance({ instance, ...dirs });
      await kernel.undoAll();
      rmSync(directory, { recursive: true });
    });

    test('a sandbox on demand starts and stops as often as asked; its container keeps its files and what its owner keeps', async () => {
      const pod = await sandbox({ owner: 'docker', onDemand: true, network: 'none', hostname: 'north' });
      assert.deepEqual([pod.state, pod.netns], ['notready', undefined]);
      const { id } = await create('echo again >>/tmp/runs; cat /tmp/runs; cat /etc/hosts', { ownerData: { Name: 'a' } }, pod);
      await assert.rejects(engine.startContainer(id), /not ready/);
      assert.deepEqual(await engine.withRootfs(id, async root => readFileSync(`${root}/etc/passwd`, 'utf8').slice(0, 5)), 'root:');
      assert.ok(!existsSync(`${new EnginePaths(dirs).rootfs(id)}/etc`), 'the root file system is mounted for the visit alone');
      for (const round of [1, 2]) {
        const ready = await engine.startSandbox(pod.id);
        assert.ok(ready.state === 'ready' && existsSync(ready.netns!));
        await engine.setSandboxFiles(pod.id, { hosts: `10.0.0.${round} other\n` });
        await engine.startContainer(id);
        assert.equal((await exited(engine, id)).exitCode, 0);
        await engine.stopSandbox(pod.id);
        assert.deepEqual([engine.sandbox(pod.id)?.state, engine.sandbox(pod.id)?.netns], ['notready', undefined]);
        await engine.setOwnerData(id, { Name: `b${round}` });
      }
      assert.equal(await text(engine.logs(id)), 'again\n10.0.0.1 other\nagain\nagain\n10.0.0.2 other\n');
      await reopen();
      assert.deepEqual(engine.container(id)?.config.ownerData, { Name: 'b2' });
      const target = await sandbox({ network: 'none' });
      const joined = await sandbox({ owner: 'docker', onDemand: true, network: 'sandbox', networkOf: target.id });
      assert.equal((await engine.startSandbox(joined.id)).netns, target.netns);
      const { output } = await run('readlink /proc/self/ns/net', {}, joined);
      assert.equal(output, (await run('readlink /proc/self/ns/net', {}, target)).output);
    });

    test('a halted container does nothing until it goes on, hears its stop, and is known as halted to the next engine', async () => {
      const pod = await sandbox({ network: 'none' });
      const { id } = await create('while :; do echo x; sleep 0.02; done', {}, pod);
      await engine.startContainer(id);
      assert.equal((await engine.pauseContainer(id)).isPaused, true);
      const before = await text(engine.logs(id));
      await reopen();
      assert.equal(engine.container(id)?.isPaused, true);
      assert.equal(await text(engine.logs(id)), before);
      assert.equal((await engine.unpauseContainer(id)).isPaused, undefined);
      await engine.pauseContainer(id);
      const ended = await engine.stopContainer(id, { graceMs: 5000, signal: 'KILL' });
      assert.deepEqual([ended.exitCode, ended.isPaused], [137, undefined]);
      await assert.rejects(engine.pauseContainer(id), { reason: 'Conflict' });
    });

    test('who is halted while a kill is under way ends all the same', async () => {
      const { id } = await create('for i in $(seq 200); do sleep 1000 & done; echo up; wait', {}, await sandbox({ network: 'none' }));
      await engine.startContainer(id);
      for (const end = performance.now() + 10_000; (await text(engine.logs(id))) === ''; )
        assert.ok(performance.now() < end, 'it is not up');
      let isOver = false;
      const stopped = engine.stopContainer(id, { graceMs: 0 }).finally(() => (isOver = true));
      for (const end = performance.now() + 5_000; !isOver && performance.now() < end; await setImmediate())
        for (let i = 0; i < 50; i++) await engine.pauseContainer(id).catch(() => {});
      const hasEnded = isOver;
      if (!isOver) await engine.unpauseContainer(id);
      assert.equal((await stopped).exitCode, 137);
      assert.ok(hasEnded, 'it stays halted, killed or not');
    });

    test('a container is created, runs, is logged, ends and is removed', async () => {
      const events: string[] = [];
      using _ = engine.subscribe(event => events.push(`${event.type} ${event.action}`));
      const pod = await sandbox({ hostname: 'north' });
      assert.equal(engine.sandbox(pod.id)?.state, 'ready');
      const created = await create('echo out; echo err >&2; hostname; exit 3', {}, pod);
      assert.equal(created.state, 'created');
      const running = await engine.startContainer(created.id);
      assert.equal(running.state, 'running');
      assert.ok(running.pid! > 1);
      const ended = await exited(engine, created.id);
      assert.deepEqual([ended.exitCode, ended.reason, ended.state], [3, 'Error', 'exited']);
      assert.equal(await text(engine.logs(created.id, { stream: 'stdout' })), 'out\nnorth\n');
      assert.equal(await text(engine.logs(created.id, { stream: 'stderr' })), 'err\n');
      await engine.removeContainer(created.id);
      assert.equal(engine.container(created.id), undefined);
      await engine.removeSandbox(pod.id);
      await engine.removeSandbox(pod.id);
      assert.deepEqual(events, [
        'sandbox created',
        'container created',
        'container started',
        'container exited',
        'container removed',
        'sandbox stopped',
        'sandbox removed',
      ]);
    });

    test('the process is confined as the defaults say', async () => {
      const { output } = await run(
        'grep -E "^(Cap(Bnd|Eff)|Seccomp|NoNewPrivs):" /proc/self/status; cat /proc/interrupts | wc -c; ls /sys/firmware | wc -l; id',
      );
      assert.match(output, /CapEff:\t00000000a80425fb/);
      assert.match(output, /CapBnd:\t00000000a80425fb/);
      assert.match(output, /Seccomp:\t2/);
      assert.match(output, /NoNewPrivs:\t0/);
      assert.match(output, /\n0\n0\nuid=0\(root\) gid=0\(root\) groups=0\(root\)/);
    });

    test('security settings are kept', async () => {
      const security = {
        user: 'web',
        noNewPrivileges: true,
        readOnlyRoot: true,
        capabilities: { drop: ['ALL'], add: ['NET_BIND_SERVICE'] },
        supplementalGroups: [7],
      };
      const { output } = await run('id; grep -E "^(CapBnd|NoNewPrivs):" /proc/self/status; touch /x 2>&1; echo $HOME', { security });
      assert.match(output, /uid=1000\(web\) gid=1001\(web\) groups=7,1001\(web\),2000\(extra\)/);
      assert.match(output, /CapBnd:\t0000000000000400/);
      assert.match(output, /NoNewPrivs:\t1/);
      assert.match(output, /Read-only file system/);
      assert.match(output, /\/home\/web\n$/);
      await assert.rejects(create('true', { security: { runAsNonRoot: true } }), { reason: 'Invalid', message: /runAsNonRoot/ });
      await assert.rejects(create('true', { security: { user: 'nobody-here' } }), { reason: 'Invalid' });
    });

    test('a privileged container has what we have', async () => {
      const { output } = await run(
        'grep -E "^(CapEff|Seccomp):" /proc/self/status; ls /dev/null /dev/loop-control; mount -t tmpfs x /tmp && echo mounted',
        {
          security: { privileged: true },
        },
      );
      assert.match(output, /Seccomp:\t0/);
      assert.match(output, /mounted/);
    });

    test('annotations of a client give the runtime no orders', async () => {
      const { output } = await run('grep Seccomp: /proc/self/status', {
        annotations: { 'run.oci.seccomp_bpf_data': '', 'run.oci.hooks.stdout': '/tmp/x', 'io.kubernetes.cri-o.x': 'y' },
      });
      assert.match(output, /Seccomp:\t2/);
    });

    test('mounts, environment and working directory', async () => {
      const file = `${directory}/mounted`;
      writeFileSync(file, 'from outside\n');
      const { output } = await run('cat /deep/down/file; echo x > /deep/down/file; echo $GREETING; pwd; df /cache | tail -1', {
        mounts: [
          { source: file, destination: '/deep/down/file', readOnly: true },
          { source: '', destination: '/cache', type: 'tmpfs', options: ['size=1m'] },
        ],
        env: [{ name: 'GREETING', value: 'hello there' }],
        workingDir: '/tmp',
      });
      rmSync(file);
      assert.match(output, /^from outside\n/);
      assert.match(output, /Read-only file system/);
      assert.match(output, /hello there\n/);
      assert.match(output, /\n\/tmp\n/);
    });

    test('variables by the thousand reach the container; its record, written at each step, stays small', async () => {
      const env = Array.from({ length: 5_000 }, (_, index) => ({ name: `SERVICE_${index}`, value: `tcp://10.96.0.1:${index}` }));
      const { container, output } = await run('env | grep -c ^SERVICE_', { env });
      assert.equal(output, '5000\n');
      assert.ok(statSync(`${dirs.dataDir}/engine/containers/${container.id}/record.jsonl`).size < 32_000);
      assert.equal(container.config.env, undefined);
      await reopen();
      assert.deepEqual(engine.environmentOf(container.id), env);
    });

    test('a pod shares memory, hosts and network; hosts and resolv.conf say what the sandbox says', async () => {
      const pod = await sandbox({
        dns: { servers: ['10.0.0.10'], searches: ['default.svc'], options: ['ndots:5'] },
        hostAliases: [{ ip: '10.1.1.1', hostnames: ['db'] }],
      });
      await run('echo shared > /dev/shm/note', {}, pod);
      const { output } = await run('cat /dev/shm/note /etc/resolv.conf; grep db /etc/hosts; cat /etc/hostname', {}, pod);
      assert.equal(output, 'shared\nsearch default.svc\nnameserver 10.0.0.10\noptions ndots:5\n10.1.1.1\tdb\npod\n');
    });

    test('one PID namespace for all containers of a pod, if asked for', async () => {
      const pod = await sandbox({ pid: 'pod' });
      const other = await start('exec sleep 1000', {}, pod);
      const { output } = await run('ps', {}, pod);
      assert.match(output, /sleep 1000/);
      assert.match(output, /1 root .*sleep 2147483647/);
      assert.equal(engine.containers({ sandboxId: pod.id }).length, 2);
      assert.equal((await engine.stopContainer(other.id, { graceMs: 0 })).state, 'exited');
    });

    test("the host's network and PID namespace", async () => {
      const { output } = await run(
        'for kind in net pid uts; do readlink /proc/self/ns/$kind; done',
        {},
        await sandbox({ network: 'host', pid: 'host' }),
      );
      const own = ['net', 'pid', 'uts'].map(kind => `${readlinkSync(`/proc/self/ns/${kind}`)}\n`).join('');
      assert.equal(output, own);
    });

    test('limits are what the kernel holds, and can be changed', async () => {
      const resources = {
        memoryLimitBytes: 64 << 20,
        cpuQuotaUs: 50_000,
        cpuPeriodUs: 100_000,
        cpuShares: 512,
        pidsLimit: 50,
        cpusetCpus: '0',
      };
      const container = await start('i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; echo busy; exec sleep 1000', { resources });
      const limits = () => Object.fromEntries(Object.entries(engine.limits(container.id)).filter(([name]) => name !== 'cpusetMems'));
      const asHeld = { ...resources, ...(isV2 ? { cpuShares: 500 } : {}) }; // a weight, which is coarser
      assert.deepEqual(limits(), asHeld);
      await engine.updateResources(container.id, { memoryLimitBytes: 128 << 20, pidsLimit: 60 });
      if (cgroupDriver === 'systemd') execFileSync('systemctl', ['daemon-reload']); // takes nothing back
      assert.deepEqual(limits(), { ...asHeld, memoryLimitBytes: 128 << 20, pidsLimit: 60 });
      for await (const line of engine.logs(container.id, { follow: true })) if (String(line).includes('busy')) break;
      const { memoryUsageBytes, cpuUsageNs, pids } = await engine.stats(container.id);
      assert.ok(memoryUsageBytes > 0 && cpuUsageNs > 0 && pids === 1, JSON.stringify({ memoryUsageBytes, cpuUsageNs, pids }));
    });

    test('what runs out of memory is OOMKilled', async () => {
      const { container } = await run('dd if=/dev/zero of=/dev/shm/x bs=1M count=60; tail /dev/zero', {
        resources: { memoryLimitBytes: 32 << 20 },
      });
      assert.deepEqual([container.exitCode, container.reason], [137, 'OOMKilled']);
    });

    test('a fork bomb ends at its limit and is stopped', async () => {
      const container = await start('echo go; bomb() { bomb | bomb & }; bomb; sleep 1000', { resources: { pidsLimit: 30 } });
      await said(container.id, 'go');
      const stopped = await engine.stopContainer(container.id, { graceMs: 0 });
      assert.equal(stopped.exitCode, 137);
    });

    test('stopping: by signal, by force after grace, by the signal asked for', async () => {
      const polite = await start('trap "exit 5" TERM; echo ready; while :; do sleep 0.05; done');
      await said(polite.id, 'ready');
      assert.equal((await engine.stopContainer(polite.id, { graceMs: 10_000 })).exitCode, 5);
      const deaf = await start('trap "" TERM; echo ready; while :; do sleep 0.05; done');
      await said(deaf.id, 'ready');
      assert.equal((await engine.stopContainer(deaf.id, { graceMs: 100 })).exitCode, 137);
      const other = await start('trap "exit 6" USR1; echo ready; while :; do sleep 0.05; done', { stopSignal: 'SIGUSR1' });
      await said(other.id, 'ready');
      assert.equal((await engine.stopContainer(other.id, { graceMs: 10_000 })).exitCode, 6);
      assert.equal((await engine.stopContainer(other.id, { graceMs: 10_000 })).exitCode, 6);
      await assert.rejects(engine.killContainer(other.id, 'SIGTERM'), { reason: 'Conflict' });
    });

    test('what can not start says why and leaves nothing running', async () => {
      const missing = await create('true', { command: ['/no/such/program'] });
      await assert.rejects(engine.startContainer(missing.id), /no\/such\/program/);
      const failed = engine.container(missing.id)!;
      assert.deepEqual([failed.state, failed.exitCode, failed.reason], ['exited', 127, 'ContainerCannotRun']);
      await assert.rejects(create('true', { mounts: [{ source: '/no/such/source', destination: '/x' }] }), { reason: 'NotFound' });
      assert.equal(engine.containers().length, 1);
    });

    test('an exited container can be started again, with its files and its log', async () => {
      const { container } = await run('echo run >> /count; cat /count');
      await engine.startContainer(container.id);
      await exited(engine, container.id);
      assert.equal(await text(engine.logs(container.id)), 'run\nrun\nrun\n');
    });

    test('exec: output, exit code, stdin, user, directory, confinement', async () => {
      const container = await start('exec sleep 1000', { env: [{ name: 'A', value: '1' }] });
      assert.deepEqual(
        await engine.execSync(container.id, {
          command: ['sh', '-c', 'echo $A; grep Seccomp: /proc/self/status; exit 4'],
          timeoutMs: 10_000,
        }),
        {
          exitCode: 4,
          output: '1\nSeccomp:\t2\n',
        },
      );
      const session = await engine.exec(container.id, {
        command: ['sh', '-c', 'cat; id -un; pwd; echo err >&2'],
        stdin: true,
        user: 'web',
        workingDir: '/tmp',
      });
      session.stdin!.end('through stdin\n');
      const [out, err, code] = await Promise.all([text(session.stdout), text(session.stderr!), session.exitCode]);
      assert.deepEqual([out, err, code], ['through stdin\nweb\n/tmp\n', 'err\n', 0]);
      const missing = await engine.exec(container.id, { command: ['/no/such'] });
      const [, why, status] = await Promise.all([text(missing.stdout), text(missing.stderr!), missing.exitCode]);
      assert.deepEqual([why, status], ['exec: "/no/such": no such file or directory\n', 127]);
    });

    test('exec with much data both ways', async () => {
      const container = await start('exec sleep 1000');
      const session = await engine.exec(container.id, { command: ['cat'], stdin: true });
      const data = Buffer.alloc(3 << 20, 'umiak ');
      session.stdin!.end(data);
      const chunks: Buffer[] = [];
      for await (const chunk of session.stdout) chunks.push(chunk as Buffer);
      assert.ok(Buffer.concat(chunks).equals(data));
      assert.equal(await session.exitCode, 0);
      session.stderr!.resume();
    });

    test('exec with a terminal: size, job control, what is typed', async () => {
      const container = await start('exec sleep 1000');
      const size = { rows: 33, columns: 77 };
      const session = await engine.exec(container.id, { command: ['sh'], tty: true, size, stdin: true });
      assert.equal(session.stderr, undefined);
      session.stdin!.write('stty size; tty; trap "echo winch" WINCH\n');
      const output: string[] = [];
      session.stdout.setEncoding('utf8');
      for await (const chunk of session.stdout) {
        output.push(chunk as string);
        if (/33 77[\s\S]*\/dev\//.test(output.join('')) && !output.includes('exiting')) {
          output.push('exiting');
          session.stdin!.write('exit 9\n');
        }
      }
      assert.equal(await session.exitCode, 9);
      assert.match(output.join(''), /\/dev\//);
      assert.doesNotMatch(output.join(''), /job control turned off/);
      session.close();
    });

    test('exec with a terminal: what is said last comes as it was said, and who is left behind holds nobody up', async () => {
      const container = await start('exec sleep 1000');
      const run = async (script: string) => {
        const session = await engine.exec(container.id, { command: ['sh', '-c', script], tty: true });
        return { output: await text(session.stdout), exitCode: await session.exitCode };
      };
      for (const said of await Promise.all(Array.from({ length: 24 }, () => run('echo last'))))
        assert.deepEqual(said, { output: 'last\r\n', exitCode: 0 });
      assert.deepEqual(await run('setsid sleep 1000 & echo left; exit 5'), { output: 'left\r\n', exitCode: 5 });
    });

    test('exec with a terminal: a size that comes later is seen too', async () => {
      const container = await start('exec sleep 1000');
      const session = await engine.exec(container.id, {
        command: ['sh', '-c', 'echo ready; until [ "$(stty size)" = "44 111" ]; do sleep 0.02; done; stty size'],
        tty: true,
        stdin: true,
      });
      session.stdout.setEncoding('utf8');
      let output = '';
      for await (const chunk of session.stdout) {
        output += chunk as string;
        if (output.includes('ready')) {
          output = '';
          session.resize({ rows: 44, columns: 111 });
        }
      }
      assert.match(output, /44 111/);
      assert.equal(await session.exitCode, 0);
      session.close();
    });

    test('exec that takes too long is killed inside the container', async () => {
      const container = await start('exec sleep 1000');
      await assert.rejects(engine.execSync(container.id, { command: ['sleep', '777'], timeoutMs: 200 }), { reason: 'Timeout' });
      const stop = new AbortController();
      const session = await engine.exec(container.id, { command: ['sh', '-c', 'echo up; exec sleep 778'], signal: stop.signal });
      await new Promise(resolve => session.stdout.once('data', resolve));
      stop.abort();
      assert.equal(await session.exitCode, 137);
      const { output } = await engine.execSync(container.id, { command: ['ps'], timeoutMs: 10_000 });
      assert.doesNotMatch(output, /sleep 77[78]/);
      for (const stream of [session.stdout, session.stderr!]) stream.destroy();
    });

    test('attach before the start misses nothing; stdin goes in and is closed', async () => {
      const container = await create('echo first; cat; echo last >&2', { stdin: true, stdinOnce: true });
      const attaching = engine.attach(container.id, { stdin: true });
      await engine.startContainer(container.id);
      const session = await attaching;
      session.stdin!.end('typed\n');
      const [out, err] = await Promise.all([text(session.stdout), text(session.stderr!)]);
      assert.deepEqual([out, err], ['first\ntyped\n', 'last\n']);
      assert.equal((await exited(engine, container.id)).exitCode, 0);
    });

    test('attach with a terminal, resized', async () => {
      const container = await create('until [ "$(stty size)" = "40 100" ]; do sleep 0.02; done; stty size; read line; echo "got $line"', {
        stdin: true,
        tty: true,
      });
      const attaching = engine.attach(container.id, { stdin: true });
      await engine.startContainer(container.id);
      const session = await attaching;
      session.resize({ rows: 40, columns: 100 });
      session.stdin!.write('hello\n');
      const output = await text(session.stdout);
      assert.match(output, /40 100\r\n(hello\r\n)?got hello\r\n/);
    });

    test('two attached clients see the same; one that leaves disturbs nobody', async () => {
      const container = await start('read line; echo "one $line"; read line; echo "two $line"', { stdin: true });
      const [first, second] = [await engine.attach(container.id, { stdin: true }), await engine.attach(container.id, {})];
      const seen = text(second.stdout);
      first.stdin!.write('a\n');
      await new Promise(resolve => first.stdout.once('data', resolve));
      first.close();
      const third = await engine.attach(container.id, { stdin: true });
      third.stdin!.write('b\n');
      assert.equal(await seen, 'one a\ntwo b\n');
      third.close();
    });

    test('logs: tail, timestamps, limit, since, long lines', async () => {
      const { container } = await run('for i in $(seq 1000); do echo line $i; done; head -c 30000 /dev/zero | tr "\\0" x; echo; echo end');
      const log = (options: object) => text(engine.logs(container.id, options));
      assert.equal(await log({ tailLines: 1 }), 'end\n');
      assert.equal(await log({ tailLines: 3 }), `line 1000\n${'x'.repeat(30000)}\nend\n`);
      assert.equal(await log({ tailLines: 0 }), '');
      assert.equal((await log({})).split('\n').length, 1003);
      assert.equal(await log({ limitBytes: 10 }), 'line 1\nlin');
      assert.match(await log({ tailLines: 1, timestamps: true }), /^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z end\n$/);
      assert.equal(await log({ sinceMs: Date.now() + 60_000 }), '');
    });

    test('following a log over rotations has no gap and ends with the container', async () => {
      const container = await start('for i in $(seq 3000); do echo $i; [ $((i % 100)) = 0 ] && sleep 0.01; done; true');
      const following = text(engine.logs(container.id, { follow: true }));
      let rotations = 0;
      for await (const chunk of engine.logs(container.id, { follow: true }))
        if (rotations < 3 && String(chunk).includes('00\n')) {
          await engine.rotateLog(container.id);
          rotations++;
        }
      const wanted = Array.from({ length: 3000 }, (_, i) => `${i + 1}\n`).join('');
      assert.equal(await following, wanted);
      assert.equal(await text(engine.logs(container.id)), wanted);
      assert.equal(rotations, 3);
    });

    test("a pod on the machine's IPC has it, with a network of its own", async () => {
      const ipc = 'readlink /proc/self/ns/ipc';
      const machine = `${readlinkSync('/proc/self/ns/ipc')}\n`;
      assert.equal((await run(ipc, {}, await sandbox({ ipc: 'host' }))).output, machine);
      assert.notEqual((await run(ipc)).output, machine);
    });

    test('a log that somebody else renamed is opened anew; one that nobody did goes on', async () => {
      const container = await start('echo before; read x; echo after', { stdin: true });
      await said(container.id, 'before');
      const { logPath = '' } = container;
      await engine.reopenLog(container.id);
      assert.match(readFileSync(logPath, 'utf8'), /before/);
      renameSync(logPath, `${logPath}.20261123-100000`);
      await engine.reopenLog(container.id);
      const session = await engine.attach(container.id, { stdin: true });
      session.stdin?.end('go\n');
      await exited(engine, container.id);
      session.close();
      assert.match(readFileSync(logPath, 'utf8'), /^\S+ stdout F after\n$/);
      assert.equal(await text(engine.logs(container.id)), 'before\nafter\n');
    });

    test('a killed monitor is MonitorLost, and nothing of the container stays', async () => {
      const container = await start('sleep 1000 & sleep 1000');
      const { monitor } = readRecord<ContainerRecord>(`${dirs.dataDir}/engine/containers/${container.id}`)!;
      process.kill(monitor!.pid, 'SIGKILL');
      const ended = await exited(engine, container.id);
      assert.deepEqual([ended.exitCode, ended.reason], [137, 'MonitorLost']);
    });

    test('after a restart: what runs is known and works, what ended meanwhile has its exit code', async () => {
      const pod = await sandbox();
      const running = await start('echo up; trap "exit 8" TERM; while :; do sleep 0.05; done', { stdin: true }, pod);
      const gate = mkdtempSync(join(tmpdir(), `${instance}-gate-`));
      const mounts = [{ source: gate, destination: '/gate' }];
      const ending = await start('until [ -e /gate/open ]; do sleep 0.05; done; exit 11', { mounts }, pod);
      const lost = await start('exec sleep 1000', {}, pod);
      const created = await create('echo later', {}, pod);
      await said(running.id, 'up');
      await engine[Symbol.asyncDispose]();
      process.kill(readRecord<ContainerRecord>(`${dirs.dataDir}/engine/containers/${lost.id}`)!.monitor!.pid, 'SIGKILL');
      writeFileSync(`${gate}/open`, ''); // nobody looks now
      await fileAppears(`${dirs.runDir}/engine/exits/${ending.id}`);
      engine = await open();
      assert.equal(engine.sandbox(pod.id)?.state, 'ready');
      assert.deepEqual(
        [running, ending, lost, created].map(({ id }) => {
          const { state, exitCode, reason } = engine.container(id)!;
          return [state, exitCode, reason];
        }),
        [
          ['running', undefined, undefined],
          ['exited', 11, 'Error'],
          ['exited', 137, 'MonitorLost'],
          ['created', undefined, undefined],
        ],
      );
      assert.equal((await engine.execSync(running.id, { command: ['echo', 'still'], timeoutMs: 10_000 })).output, 'still\n');
      await engine.startContainer(created.id);
      await exited(engine, created.id);
      assert.equal((await engine.stopContainer(running.id, { graceMs: 10_000 })).exitCode, 8);
      await engine.removeSandbox(pod.id);
      rmSync(gate, { recursive: true });
    });

    test('after a reboot: sandboxes are notready, containers exited, nothing mounted', async () => {
      const container = await start('exec sleep 1000');
      const created = await create('true', {}, engine.sandbox(container.config.sandboxId));
      await engine[Symbol.asyncDispose]();
      await rebootLike(dirs, container.pid!);
      engine = await open({ bootId: 'another' });
      assert.equal(engine.sandbox(container.config.sandboxId)?.state, 'notready');
      const { state, exitCode, reason } = engine.container(container.id)!;
      assert.deepEqual([state, exitCode, reason], ['exited', 255, 'Unknown']);
      await assert.rejects(engine.startContainer(created.id), { reason: 'Conflict' });
      for (const { id } of engine.sandboxes()) await engine.removeSandbox(id);
      for (const id of networks.inUse) await networks.unpinNamespaces(id);
      await reopen();
    });

    test('removing an instance whose processes were all killed leaves nothing', async () => {
      const container = await start('sleep 1000 & exec sleep 1000');
      const { monitor } = readRecord<ContainerRecord>(`${dirs.dataDir}/engine/containers/${container.id}`)!;
      await start('exec sleep 1000');
      await engine[Symbol.asyncDispose]();
      process.kill(monitor!.pid, 'SIGKILL');
      await removeInstance({ instance, ...dirs });
      const { mounts, cgroups, processes } = countResources(scope);
      assert.deepEqual([mounts.filter(target => !target.includes('/netns/')), cgroups, processes], [[], [], []]);
      for (const id of networks.inUse) await networks.unpinNamespaces(id);
      rmSync(dirs.dataDir, { recursive: true, force: true });
      engine = await open();
      await warmUp();
      census = new Census(scope);
    });
  });
}

/** Waits for a container's end. */
export async function exited(engine: LocalEngine, id: string): Promise<Container> {
  const { promise, resolve } = Promise.withResolvers<void>();
  using _ = engine.subscribe((event: EngineEvent) => {
    if (event.type === 'container' && event.action === 'exited' && event.container.id === id) resolve();
  });
  if (engine.container(id)?.state !== 'exited') await promise;
  return engine.container(id)!;
}

async function fileAppears(file: string): Promise<void> {
  mkdirSync(dirname(file), { recursive: true });
  const { promise, resolve } = Promise.withResolvers<void>();
  const watcher = watch(dirname(file), () => existsSync(file) && resolve());
  if (!existsSync(file)) await promise;
  watcher.close();
}

/** Nothing runs any more and the run directory is empty. */
async function rebootLike({ runDir, dataDir }: { runDir: string; dataDir: string }, pid: number): Promise<void> {
  const container = identify(pid)!;
  for (const monitor of findMonitors(new EnginePaths({ runDir, dataDir })).values()) {
    signalProcess(monitor, 9);
    await waitForEnd(monitor, 10_000);
  }
  signalProcess(container, 9);
  await waitForEnd(container, 10_000);
  rmSync(runDir, { recursive: true });
}
