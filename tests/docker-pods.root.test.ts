import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { TestCluster, until } from './cluster.ts';
import { findDockerClients } from './docker-clients.ts';

const run = promisify(execFile);
const { have: clients } = await findDockerClients();

const POD = `apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: main, image: 'busybox:test', imagePullPolicy: Never, command: [sleep, '600'], env: [{name: COLOUR, value: red}]}
`;

describe('containers of pods behind docker’s socket', { skip: clients ? false : 'no docker command' }, () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await TestCluster.up();
    await cluster.loadBusybox();
    await cluster.apply(POD);
    await cluster.kubectl('wait', '--for=condition=Ready', 'pod/web', '--timeout=60s');
  });
  after(() => cluster?.[Symbol.asyncDispose]());

  const docker = async (...args: string[]) =>
    (await run(clients?.docker ?? 'docker', ['-H', `unix://${cluster.dockerSocket}`, ...args])).stdout.trimEnd();
  const nameOf = async () => await docker('ps', '--filter', 'label=io.kubernetes.container.name=main', '--format', '{{.Names}}');

  test('have the names and labels that the kubelet gives', async () => {
    const uid = await cluster.jsonPath('pod web', '{.metadata.uid}');
    assert.equal(await nameOf(), `k8s_main_web_default_${uid}_0`);
    const shown = await docker(
      'inspect',
      '--format',
      '{{.Config.Hostname}} {{json .Config.Entrypoint}} {{index .Config.Labels "io.kubernetes.pod.name"}}',
      await nameOf(),
    );
    assert.equal(shown, 'web ["sleep","600"] web');
    assert.match(await docker('exec', await nameOf(), 'env'), /^COLOUR=red$/m);
    assert.match(await docker('inspect', '--format', '{{json .Config.Env}}', await nameOf()), /"COLOUR=red"/);
  });

  test('are restarted by their policy when docker stops them, and keep their limits and names', async () => {
    const name = await nameOf();
    await assert.rejects(docker('rename', name, 'mine'), /belongs to a pod/);
    await assert.rejects(docker('update', '-m', '64m', name), /belongs to a pod/);
    await docker('stop', '-t', '0', name);
    await until('the next attempt', async () => (await nameOf()) === name.replace(/_0$/, '_1'));
    assert.match(await docker('ps', '-a', '--filter', 'exited=137', '--format', '{{.Names}}'), new RegExp(name));
  });
});
