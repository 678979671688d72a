import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { haveCrictl } from '../critest/build.ts';
import { TestCluster, until } from './cluster.ts';
import { serveRegistry, type TestRegistry } from './registry.ts';
import { inTerminal } from './terminal.ts';

const { have: crictlPath = '', missing } = await haveCrictl();

describe('crictl', { skip: missing ?? false }, () => {
  let cluster: TestCluster;
  let registry: TestRegistry;
  let image: string;
  let pod: string;
  let main: string;

  before(async () => {
    cluster = await TestCluster.up();
    await cluster.loadBusybox();
    registry = await serveRegistry(join(cluster.directory, 'registry'));
    await registry.push(join(cluster.directory, 'busybox.tar'), 'tools/busybox:1');
    image = `${registry.host}/tools/busybox:1`;
  });
  after(async () => {
    await registry?.[Symbol.asyncDispose]();
    await cluster?.[Symbol.asyncDispose]();
  });

  const global = () => ['--runtime-endpoint', `unix://${cluster.runDir}/cri.sock`, '--timeout', '20s'];
  const line = (...args: string[]) => [crictlPath, ...global(), ...args].join(' ');
  const tryCrictl = (args: string[], input = '') => cluster.command(crictlPath, [...global(), ...args], input);
  async function crictl(...args: string[]): Promise<string> {
    const { stdout, stderr, code } = await tryCrictl(args);
    assert.equal(code, 0, `crictl ${args.join(' ')}: ${stdout}${stderr}\n${cluster.log('agent').slice(-2_000)}`);
    return stdout.trim();
  }
  const json = async (...args: string[]) => JSON.parse(await crictl(...args, '-o', 'json'));

  function configFile(name: string, config: object): string {
    const file = join(cluster.directory, `${name}.json`);
    writeFileSync(file, JSON.stringify(config));
    return file;
  }

  async function create(name: string, script: string, more: object = {}): Promise<string> {
    const config = { metadata: { name }, image: { image }, command: ['sh', '-c', script], log_path: `${name}.log`, linux: {}, ...more };
    return await crictl('create', pod, configFile(name, config), join(cluster.directory, 'pod.json'));
  }

  /** Runs crictl until `use` is done with what it says. */
  async function running<T>(args: string[], pattern: RegExp, use: (found: RegExpExecArray, child: ChildProcess) => Promise<T>): Promise<T> {
    const child = spawn(crictlPath, [...global(), ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', chunk => (said += chunk));
    try {
      const found = await until(`${pattern}`, () => pattern.exec(said) ?? undefined, 20_000).catch(() => assert.fail(said));
      return await use(found, child);
    } finally {
      child.kill('SIGKILL');
    }
  }

  test('says who answers', async () => {
    assert.match(await crictl('version'), /RuntimeName: +umiak[\s\S]*RuntimeApiVersion: +v1/);
    const { status } = JSON.parse(await crictl('info'));
    assert.deepEqual(
      status.conditions.filter(({ type }: { type: string }) => /Ready/.test(type)).map(({ status: isTrue }: { status: boolean }) => isTrue),
      [true, true],
    );
  });

  test('pull, images, inspecti', async () => {
    await crictl('pull', image);
    const { images } = await json('images');
    const { id } = images.find(({ repoTags }: { repoTags: string[] }) => repoTags.includes(image));
    const { status } = JSON.parse(await crictl('inspecti', image));
    assert.equal(status.id, id);
    assert.notEqual((await tryCrictl(['pull', `${registry.host}/tools/nothing:1`])).code, 0);
  });

  test('runp, create, start, ps, pods, inspect', async () => {
    const metadata = { name: 'web', namespace: 'shop', uid: 'u-1', attempt: 0 };
    const linux = { cgroup_parent: '' };
    pod = await crictl('runp', configFile('pod', { metadata, log_directory: join(cluster.directory, 'logs'), labels: { a: 'b' }, linux }));
    main = await create(
      'main',
      'echo hello; mkdir /www; echo page >/www/index.html; httpd -p 8080 -h /www; while read word; do echo heard $word; done',
      {
        stdin: true,
        envs: [{ key: 'WORD', value: 'set' }],
      },
    );
    assert.equal(await crictl('start', main), main);
    const { items } = await json('pods', '--label', 'a=b');
    assert.deepEqual([items[0].id, items[0].state], [pod, 'SANDBOX_READY']);
    const { containers } = await json('ps', '--pod', pod);
    assert.deepEqual([containers[0].id, containers[0].state], [main, 'CONTAINER_RUNNING']);
    const { status, info } = JSON.parse(await crictl('inspect', main));
    assert.deepEqual([status.metadata.name, status.state, typeof info.pid], ['main', 'CONTAINER_RUNNING', 'number']);
    assert.match(JSON.parse(await crictl('inspectp', pod)).status.network.ip, /^10\./);
  });

  test('exec: synchronously, streamed, with an exit code, over both transports', async () => {
    assert.equal(await crictl('exec', '--sync', main, 'sh', '-c', 'echo $WORD'), 'set');
    for (const transport of ['spdy', 'websocket']) {
      assert.equal(await crictl('exec', '--transport', transport, main, 'echo', 'streamed'), 'streamed');
      const { stdout } = await tryCrictl(['exec', '-i', '--transport', transport, main, 'sh', '-c', 'cat; echo end'], 'typed\n');
      assert.equal(stdout, 'typed\nend\n');
      const { code, stderr } = await tryCrictl(['exec', '--transport', transport, main, 'sh', '-c', 'exit 3']);
      assert.notEqual(code, 0);
      assert.match(stderr, /exit code 3/);
    }
  });

  test('exec with a terminal: it has the size of the one outside, and reads what is typed', async () => {
    for (const transport of ['spdy', 'websocket']) {
      const { output, code } = await inTerminal(
        `stty rows 33 cols 77; ${line('exec', '-it', '--transport', transport, main, 'sh')}`,
        {},
        'until [ "$(stty size)" = "33 77" ]; do sleep 0.1; done; echo size $(stty size); exit\n',
      );
      assert.match(output, /size 33 77/);
      assert.equal(code, 0, output);
    }
  });

  test('logs, reopened after somebody renamed them; attach reads and writes', async () => {
    assert.equal(await crictl('logs', main), 'hello');
    const log = join(cluster.directory, 'logs/main.log');
    renameSync(log, `${log}.20261123-100000`);
    await crictl('logs', '--reopen', main);
    const attached = ['attach', '-i', main];
    await running(attached, /(?:)/, async (_found, child) => {
      child.stdin?.write('this\n');
      await until('an answer in the log', () => readFileSync(log, 'utf8').includes('F heard this'));
    });
    assert.equal(await crictl('logs', '--tail', '1', main), 'heard this');
    assert.equal((await json('ps', '--id', main)).containers.length, 1, 'who detaches ends nothing');
  });

  test('port-forward over both transports; a port where nobody listens says so', async () => {
    for (const transport of ['spdy', 'websocket'])
      await running(['port-forward', '--transport', transport, pod, ':8080'], /127\.0\.0\.1:(\d+) ->/, async ([, port]) => {
        const answer = await fetch(`http://127.0.0.1:${port}/index.html`, { headers: { connection: 'close' } });
        assert.equal(await answer.text(), 'page\n');
      });
    await running(['port-forward', pod, ':81'], /127\.0\.0\.1:(\d+) ->/, async ([, port]) => {
      await assert.rejects(fetch(`http://127.0.0.1:${port}/`));
    });
  });

  test('stats and metrics of containers, pods and disks', async () => {
    const [stats] = (await json('stats', '--id', main)).stats;
    assert.equal(stats.attributes.id, main);
    assert.ok(Number(stats.memory.workingSetBytes.value) > 0);
    assert.ok(Number(stats.cpu.usageCoreNanoSeconds.value) > 0);
    assert.ok(Number(stats.writableLayer.usedBytes.value) > 0);
    await fetch(`http://${JSON.parse(await crictl('inspectp', pod)).status.network.ip}:8080/index.html`);
    const [{ linux }] = (await json('statsp', '--id', pod)).stats;
    assert.ok(Number(linux.network.defaultInterface.rxBytes.value) > 0);
    assert.equal(linux.containers.length, 1);
    const { descriptors } = JSON.parse(await crictl('metricdescs'));
    assert.ok(descriptors.some(({ name }: { name: string }) => name === 'container_cpu_usage_seconds_total'));
    const { podMetrics } = JSON.parse(await crictl('metricsp'));
    assert.ok(podMetrics.some(({ podSandboxId }: { podSandboxId: string }) => podSandboxId === pod));
    const { status } = JSON.parse(await crictl('imagefsinfo'));
    assert.ok(Number(status.imageFilesystems[0].usedBytes.value) > 1 << 20);
  });

  test('events tell of a container from its making to its going; update, stop, rm', async () => {
    await running(['events'], /(?:)/, async (_found, child) => {
      let said = '';
      child.stdout?.on('data', chunk => (said += chunk));
      const told = (id: string, type: string) =>
        until(`${type} of ${id}`, () =>
          new RegExp(`"containerId": *"${id}",? *"containerEventType": *"${type}"`).test(said.replaceAll('\n', ' ')),
        );
      // The first event may be missed while the stream is opened: that of the second container is not.
      const first = await create('first', 'true');
      await until('the stream', async () => {
        if (said !== '') return true;
        await tryCrictl(['start', first]);
        return said !== '';
      });
      const id = await create('short', 'sleep 1000');
      await told(id, 'CONTAINER_CREATED_EVENT');
      await crictl('start', id);
      await told(id, 'CONTAINER_STARTED_EVENT');
      await crictl('update', '--memory', String(64 << 20), id);
      assert.equal(JSON.parse(await crictl('inspect', id)).status.resources.linux.memoryLimitInBytes, String(64 << 20));
      await crictl('stop', '--timeout', '0', id);
      await told(id, 'CONTAINER_STOPPED_EVENT');
      await crictl('rm', id);
      await told(id, 'CONTAINER_DELETED_EVENT');
    });
  });

  test('rmi and rmp -fa leave nothing', async () => {
    await crictl('stopp', pod);
    assert.equal((await json('pods', '--id', pod)).items[0].state, 'SANDBOX_NOTREADY');
    await crictl('rmp', '-fa');
    assert.deepEqual([(await json('pods')).items, (await json('ps', '-a')).containers], [[], []]);
    await crictl('rmi', image);
    assert.notEqual((await tryCrictl(['inspecti', image])).code, 0);
  });
});
