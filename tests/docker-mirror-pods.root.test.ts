import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import type { Pod } from '#kinds/pod.ts';
import { haveCrictl } from '../critest/build.ts';
import { type Ran, TestCluster, until } from './cluster.ts';
import { findDockerClients } from './docker-clients.ts';

const { have: clients, missing } = await findDockerClients();
const crictl = await haveCrictl();

describe('docker containers as Pods', { skip: missing ?? false }, () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await TestCluster.up();
    await cluster.loadBusybox();
  });
  after(async () => {
    const { stdout } = (await tryDocker('ps', '-aq', '--filter', 'label=mirror')) ?? {};
    for (const id of stdout?.split('\n').filter(Boolean) ?? []) await tryDocker('rm', '-f', id);
    await cluster?.[Symbol.asyncDispose]();
  });

  const tryDocker = (...args: string[]): Promise<Ran> => cluster.command(clients?.docker ?? '', args);
  const docker = async (...args: string[]) => {
    const { code, stdout, stderr } = await tryDocker(...args);
    assert.equal(code, 0, `docker ${args.join(' ')}: ${stderr}\n${cluster.log('agent').slice(-2000)}`);
    return stdout.trim();
  };
  const run = (name: string, ...command: string[]) =>
    docker('run', '-d', '--label', 'mirror=1', '--name', name, 'busybox:test', ...command);
  const pods = async (): Promise<Pod[]> => JSON.parse(await cluster.kubectl('-n', 'docker', 'get', 'pods', '-o', 'json')).items;
  const podOf = async (name: string): Promise<Pod | undefined> =>
    (await pods()).find(({ metadata }) => metadata.annotations?.['umiak.io/docker-name'] === name);
  const shown = (name: string, isSo: (pod: Pod) => boolean = ({ status }) => status?.phase === 'Running') =>
    until(`the Pod of ${name}`, async () => {
      const pod = await podOf(name);
      return pod && isSo(pod) ? pod : undefined;
    });

  test('shows what docker runs, with logs and exec; kubectl delete stops it', { timeout: 120_000 }, async () => {
    const id = await run('Web_1', 'sh', '-c', 'echo hello; exec sleep 1000');
    const { metadata, spec, status } = await shown('Web_1');
    const { name } = metadata;
    assert.match(name, /^web-1-[0-9a-f]{6}-node-/);
    assert.equal(spec.nodeName, cluster.env.UMIAK_NODE_NAME);
    assert.equal(status?.containerStatuses?.[0]?.containerID, `umiak://${id}`);
    assert.equal(status?.podIP, await docker('inspect', '-f', '{{.NetworkSettings.IPAddress}}', 'Web_1'));
    assert.equal(await cluster.kubectl('-n', 'docker', 'logs', name), 'hello\n');
    assert.equal(await cluster.kubectl('-n', 'docker', 'exec', name, '--', 'echo', 'inside'), 'inside\n');
    await cluster.kubectl('-n', 'docker', 'wait', '--for=condition=Ready', `pod/${name}`, '--timeout=10s');
    await cluster.kubectl('-n', 'docker', 'delete', 'pod', name, '--grace-period=1');
    assert.equal(await docker('inspect', '-f', '{{.State.Status}}', 'Web_1'), 'exited');
    await docker('start', 'Web_1');
    const again = await shown('Web_1');
    assert.notEqual(again.metadata.uid, metadata.uid);
    await docker('rm', '-f', 'Web_1');
    await until('its Pod gone', async () => !(await podOf('Web_1')));
  });

  test('what ended stays as docker keeps it, with its exit; a new name is shown', { timeout: 60_000 }, async () => {
    await run('done', 'sh', '-c', 'sleep 1; exit 3');
    const ended = await shown('done', ({ status }) => status?.phase === 'Failed');
    assert.equal(ended.status?.containerStatuses?.[0]?.state?.terminated?.exitCode, 3);
    await docker('rename', 'done', 'over');
    await shown('over', ({ status }) => status?.phase === 'Failed');
    assert.equal(await podOf('done'), undefined);
    await docker('rm', 'over');
    await until('its Pod gone', async () => !(await podOf('over')));
  });

  test('restarts by its policy are restarts of one Pod', { timeout: 60_000 }, async () => {
    await docker(
      'run',
      '-d',
      '--label',
      'mirror=1',
      '--name',
      'loops',
      '--restart',
      'always',
      'busybox:test',
      'sh',
      '-c',
      'sleep 1; exit 2',
    );
    const { metadata } = await shown('loops');
    const count = ({ status }: Pod) => status?.containerStatuses?.[0]?.restartCount ?? 0;
    const again = await shown('loops', pod => count(pod) >= 2 && pod.status?.containerStatuses?.[0]?.state?.waiting !== undefined);
    assert.equal(again.metadata.uid, metadata.uid);
    assert.equal(again.status?.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 2);
    await docker('rm', '-f', 'loops');
    await until('its Pod gone', async () => !(await podOf('loops')));
  });

  test("docker's events tell of pods' containers, and kubectl's pods are not shown twice", { timeout: 60_000 }, async () => {
    const since = String(Date.now() / 1000);
    await cluster.kubectl('run', 'real', '--image=busybox:test', '--restart=Never', '--', 'sh', '-c', 'exit 4');
    await cluster.kubectl('wait', '--for=jsonpath={.status.phase}=Failed', 'pod/real', '--timeout=30s');
    const args = ['--since', since, '--until', String(Date.now() / 1000), '--filter', 'container=k8s_real_real_default_'];
    const told = await docker('events', ...args, '--format', '{{.Action}} {{.Actor.Attributes.exitCode}}');
    assert.deepEqual(told.split('\n'), ['create <no value>', 'start <no value>', 'die 4']);
    assert.deepEqual(await pods(), []);
    await cluster.kubectl('delete', 'pod', 'real');
  });

  test('docker, crictl and kubectl show the same', { skip: crictl.missing ?? false, timeout: 60_000 }, async () => {
    const id = await run('seen_1', 'sleep', '1000');
    const { status } = await shown('seen_1');
    assert.equal(status?.containerStatuses?.[0]?.containerID, `umiak://${id}`);
    const ask = async (what: string) => {
      const { stdout } = await cluster.command(crictl.have ?? '', ['-r', `unix://${cluster.runDir}/cri.sock`, what, '-o', 'json']);
      return JSON.parse(stdout);
    };
    const [pod] = (await ask('pods')).items;
    assert.deepEqual(pod.metadata, { name: 'seen_1', uid: id, namespace: 'docker', attempt: 0 });
    const [container] = (await ask('ps')).containers;
    assert.deepEqual([container.id, container.metadata.name, container.podSandboxId], [id, 'seen_1', pod.id]);
    const image = await docker('commit', 'seen_1', 'seen:here');
    const { images } = (await ask('images')) as { images: { id: string; repoTags: string[] }[] };
    assert.equal(images.find(({ repoTags }) => repoTags.includes('docker.io/library/seen:here'))?.id, image);
    await cluster.kubectl('run', 'seen', '--image=seen:here', '--image-pull-policy=Never', '--restart=Never', '--', 'sleep', '600');
    await cluster.kubectl('wait', '--for=condition=Ready', 'pod/seen', '--timeout=60s');
    assert.match(await cluster.jsonPath('pod seen', '{.status.containerStatuses[0].imageID}'), new RegExp(image.slice(7)));
    await cluster.kubectl('delete', 'pod', 'seen', '--now');
    await docker('rm', '-f', 'seen_1');
    await docker('rmi', 'seen:here');
  });

  test('short runs never appear, and the API hears nothing of them', { timeout: 120_000 }, async () => {
    const seen = JSON.parse(await cluster.kubectl('-n', 'docker', 'get', 'pods', '-o', 'json')).metadata.resourceVersion;
    const one = () => docker('run', '--rm', '--label', 'mirror=1', 'busybox:test', 'true');
    for (let n = 0; n < 5; n++) await Promise.all(Array.from({ length: 4 }, one));
    await run('last', 'sleep', '1000');
    await shown('last');
    const watched = await cluster.kubectl(
      'get',
      '--raw',
      `/api/v1/namespaces/docker/pods?watch=1&resourceVersion=${seen}&timeoutSeconds=1`,
    );
    const names = watched
      .split('\n')
      .filter(Boolean)
      .map(line => JSON.parse(line).object.metadata.annotations?.['umiak.io/docker-name']);
    assert.deepEqual([...new Set(names)], ['last']);
    await docker('rm', '-f', 'last');
  });

  test('over an agent that is killed: what was made and removed meanwhile', { timeout: 120_000 }, async () => {
    const kept = await run('kept', 'sleep', '1000');
    const before = await shown('kept');
    const went = await run('went', 'sleep', '1000');
    await shown('went');
    process.kill(cluster.pid('agent'), 'SIGKILL');
    await until('the agent', async () => (await tryDocker('ps', '-q')).code === 0);
    await docker('rm', '-f', went);
    await run('new', 'sleep', '1000');
    await shown('new');
    await until('the Pod of what went gone', async () => !(await podOf('went')));
    assert.equal((await podOf('kept'))?.metadata.uid, before.metadata.uid);
    assert.equal(await docker('inspect', '-f', '{{.Id}}', 'kept'), kept);
    const running = (await docker('ps', '--format', '{{.Names}}', '--filter', 'label=mirror')).split('\n').sort();
    const names = (await pods())
      .filter(({ status }) => status?.phase === 'Running')
      .map(({ metadata }) => metadata.annotations?.['umiak.io/docker-name']);
    assert.deepEqual(names.sort(), running);
  });

  test('a reboot: what is to run runs, and is shown; what ended has ended', { timeout: 120_000 }, async () => {
    await docker('run', '-d', '--label', 'mirror=1', '--name', 'boots', '--restart', 'unless-stopped', 'busybox:test', 'sleep', '1000');
    await docker(
      'run',
      '-d',
      '--label',
      'mirror=1',
      '--name',
      'joins',
      '--restart',
      'always',
      '--network',
      'container:boots',
      'busybox:test',
      'sleep',
      '1000',
    );
    await docker('network', 'create', 'own');
    const wide = ['--label', 'mirror=1', '--name', 'wide', '--restart', 'always', '--network', 'own', '-p', '127.0.0.1::80'];
    await docker('run', '-d', ...wide, 'busybox:test', 'httpd', '-f', '-p', '80');
    await run('stays', 'sleep', '1000');
    const { metadata } = await shown('boots');
    await cluster.must('down', '--containers', '--grace', '0');
    rmSync(cluster.runDir, { recursive: true, force: true });
    cluster.env.UMIAK_BOOT_ID = '00000000-0000-4000-8000-000000000001';
    await cluster.must('up');
    await until(
      'what is to run',
      async () => (await docker('ps', '--format', '{{.Names}}')).split('\n').sort().join(' ') === 'boots joins wide',
    );
    await shown('boots', pod => pod.status?.phase === 'Running' && pod.metadata.uid !== metadata.uid);
    await shown('stays', ({ status }) => status?.phase === 'Failed');
    const port = await docker('port', 'wide', '80');
    assert.equal((await fetch(`http://${port}/nothing`)).status, 404);
    await docker('rm', '-f', 'wide');
    await docker('network', 'rm', 'own');
  });
});
