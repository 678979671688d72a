import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { TestCluster, until } from './cluster.ts';
import { inTerminal } from './terminal.ts';
import { fetchOldClients } from './third-party.ts';

const { have: old, missing } = await fetchOldClients();

describe('kubectl 1.28, which speaks raw SPDY', { skip: missing ?? false }, () => {
  let cluster: TestCluster;

  before(async () => {
    cluster = await TestCluster.up();
    await cluster.loadBusybox();
  });
  after(() => cluster?.[Symbol.asyncDispose]());

  const tryKubectl = (args: string[], input = '') => cluster.command(old?.kubectl ?? '', args, input);
  const kubectl = async (args: string[], input = '') => {
    const { stdout, stderr, code } = await tryKubectl(args, input);
    assert.equal(code, 0, `kubectl ${args.join(' ')}: ${stdout}${stderr}`);
    return stdout;
  };
  const sha256 = (data: string | Buffer) => createHash('sha256').update(data).digest('hex');

  test('apply, get, explain, scale, rollout, delete', async () => {
    assert.match(await kubectl(['version', '--output=json']), /"minor": "28"[\s\S]*"minor": "36"/);
    const manifest = JSON.stringify({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web' },
      spec: {
        selector: { matchLabels: { app: 'web' } },
        template: {
          metadata: { labels: { app: 'web' } },
          spec: {
            terminationGracePeriodSeconds: 0,
            containers: [
              {
                name: 'main',
                image: 'busybox:test',
                imagePullPolicy: 'IfNotPresent',
                command: ['sh', '-c', 'mkdir /www; head -c 2000000 /dev/zero >/www/zeros; exec httpd -f -p 127.0.0.1:8080 -h /www'],
                readinessProbe: { exec: { command: ['test', '-s', '/www/zeros'] } },
              },
            ],
          },
        },
      },
    });
    assert.equal(await kubectl(['apply', '-f', '-'], manifest), 'deployment.apps/web created\n');
    assert.equal(await kubectl(['apply', '-f', '-'], manifest), 'deployment.apps/web unchanged\n');
    assert.match(await kubectl(['rollout', 'status', 'deploy/web', '--timeout=60s']), /successfully rolled out/);
    assert.match(await kubectl(['get', 'deploy,rs,pods', '-o', 'wide']), /pod\/web-\S+ +1\/1 +Running/);
    assert.match(await kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], manifest), /serverside-applied/);
    assert.match(await kubectl(['explain', 'deployment.spec.replicas']), /replicas <integer>/);
    assert.match(await kubectl(['describe', 'deploy', 'web']), /1 available/);
    const refused = await tryKubectl(['get', 'pod', 'nothing']);
    assert.deepEqual([refused.code, refused.stderr], [1, 'Error from server (NotFound): pods "nothing" not found\n']);
  });

  test('exec with megabytes on stdin, exit codes, a terminal; logs', async () => {
    const data = randomBytes(2 << 20).toString('base64');
    const echoed = await tryKubectl(['exec', '-i', 'deploy/web', '--', 'sh', '-c', 'cat; echo done >&2; exit 7'], data);
    assert.deepEqual([echoed.code, sha256(echoed.stdout)], [7, sha256(data)]);
    assert.match(echoed.stderr, /^done/);
    const line = `stty rows 33 cols 77; ${old?.kubectl} exec -it deploy/web -- sh -c 'until stty size | grep 33; do sleep 0.05; done; tty'`;
    const { output } = await inTerminal(line, { KUBECONFIG: cluster.kubeconfig });
    assert.match(output, /33 77\r?\n\/dev\/pts\/\d/);
    await kubectl(['run', 'said', '--image=busybox:test', '--image-pull-policy=IfNotPresent', '--restart=Never', '--', 'echo', 'hello']);
    await kubectl(['wait', '--for=jsonpath={.status.phase}=Succeeded', 'pod/said', '--timeout=30s']);
    assert.equal(await kubectl(['logs', 'said']), 'hello\n');
    const once = ['run', 'once', '--rm', '-i', '--image=busybox:test', '--image-pull-policy=IfNotPresent', '--restart=Never', '--', 'cat'];
    assert.match(await kubectl(once, 'over\n'), /^over\n[\s\S]*pod "once" deleted/);
  });

  test('cp there and back', async () => {
    const there = join(cluster.directory, 'there');
    const back = join(cluster.directory, 'back');
    writeFileSync(there, randomBytes(1_500_000));
    const pod = (await kubectl(['get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[0].metadata.name}'])).trim();
    await kubectl(['cp', there, `${pod}:/tmp/there`]);
    await kubectl(['cp', `${pod}:/tmp/there`, back]);
    assert.equal(sha256(readFileSync(back)), sha256(readFileSync(there)));
  });

  test('port-forward', async () => {
    const forward = spawn(old?.kubectl ?? '', ['port-forward', 'deploy/web', ':8080'], {
      env: { ...process.env, KUBECONFIG: cluster.kubeconfig },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    try {
      let said = '';
      for (const stream of [forward.stdout, forward.stderr]) stream.setEncoding('utf8').on('data', chunk => (said += chunk));
      const port = () => /127\.0\.0\.1:(\d+) -> 8080\n/.exec(said)?.[1];
      await until('an open port', port).catch(() => assert.fail(said));
      const get = async () => (await (await fetch(`http://127.0.0.1:${port()}/zeros`)).arrayBuffer()).byteLength;
      assert.deepEqual(await Promise.all([get(), get(), get()]), [2_000_000, 2_000_000, 2_000_000]);
    } finally {
      forward.kill('SIGKILL');
    }
  });
});
