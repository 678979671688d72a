/**
 * A kubelet of Kubernetes itself over our `cri.sock`, on our API: `make kubelet` builds it and runs this. Our own node agent is off
 * (`nodeAgent: external`): the agent serves engine, images, CRI and the cluster's network, the kubelet has the Node object and its HTTPS API.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gatewayOf } from '#net/ipv4.ts';
import { TestCluster, until } from '../tests/cluster.ts';
import { Kubelet } from './kubelet.ts';

/** The kubelet, built. */
const program = process.env.UMIAK_KUBELET;

const pod = (name: string, container: string, more = '') => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, labels: { app: ${name} } }
spec: { terminationGracePeriodSeconds: 1, ${more} containers: [ { name: main, image: 'busybox:test', ${container} } ] }
`;
const SERVER = `mkdir /www; echo "I am $(hostname)" >/www/index.html; exec httpd -f -p 8000 -h /www`;
/** The kubelet's `/stats/summary`. */
interface Summary {
  pods: {
    podRef: { name: string };
    cpu?: { usageCoreNanoSeconds?: number };
    network?: { rxBytes?: number };
    containers: { memory?: { workingSetBytes?: number } }[];
  }[];
}

const DEPLOYMENT = `
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: 10
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      terminationGracePeriodSeconds: 1
      containers: [ { name: main, image: 'busybox:test', command: [ sh, -c, '${SERVER}' ] } ]
`;

describe('a real kubelet', { skip: program ? false : 'an optional target: make kubelet' }, () => {
  let cluster: TestCluster;
  let kubelet: Kubelet;

  before(async () => {
    cluster = await TestCluster.open({ UMIAK_NODE_AGENT: 'external' });
    await cluster.must('up');
    await cluster.loadBusybox();
    const clusterDns = gatewayOf(cluster.env.UMIAK_POD_CIDR ?? '');
    kubelet = new Kubelet({ program: program ?? '', cluster, directory: join(cluster.directory, 'kubelet'), clusterDns });
    kubelet.start();
    await until('the node to be there', async () => {
      if (kubelet.ended) throw new Error(`the kubelet ended: ${kubelet.ended}\n${kubelet.lastWords()}`);
      return (await cluster.kubectl('get', 'nodes', '-o', 'name')) !== '';
    });
  });
  after(async () => {
    if (process.env.UMIAK_KUBELET_LOG) copyFileSync(kubelet.logFile, process.env.UMIAK_KUBELET_LOG);
    await kubelet?.[Symbol.asyncDispose]();
    await cluster?.[Symbol.asyncDispose]();
  });

  const waitFor = (condition: string, ...what: string[]) => cluster.kubectl('wait', `--for=${condition}`, '--timeout=60s', ...what);
  const field = (name: string, path: string) => cluster.jsonPath(`pod ${name}`, `{${path}}`);
  const restarts = (name: string) => field(name, '.status.containerStatuses[0].restartCount');
  const containerId = (name: string) => field(name, '.status.containerStatuses[0].containerID');
  /** The kubelet collects sandboxes of pods that are gone once a minute. */
  const nothingRuns = () =>
    until('no sandbox to be left', () => readdirSync(join(cluster.dataDir, 'engine/sandboxes')).length === 0, 120_000);

  test('registers its node, and the node becomes Ready', async () => {
    await waitFor('condition=Ready', 'nodes', '--all').catch(error => assert.fail(`${error}\n${kubelet.lastWords()}`));
    assert.match(await cluster.jsonPath('nodes', '{.items[0].status.nodeInfo.containerRuntimeVersion}'), /^umiak:\/\//);
    assert.match(await cluster.jsonPath('nodes', '{.items[0].status.nodeInfo.kubeletVersion}'), /^v1\.36\./);
    assert.match(await cluster.must('status'), /node .*Ready/);
  });

  test('a pod runs, has an address of our network, and its output comes back', async () => {
    await cluster.apply(pod('simple', `command: [ sh, -c, 'echo hello from $(hostname); exec sleep 1000' ]`));
    await waitFor('condition=Ready', 'pod/simple');
    assert.ok((await field('simple', '.status.podIP')).startsWith((cluster.env.UMIAK_POD_CIDR ?? '').replace('0.0/16', '')));
    assert.equal(await cluster.kubectl('logs', 'simple'), 'hello from simple\n');
  });

  test('probes: a pod becomes ready by HTTP, and is restarted when it does not live', async () => {
    const http = 'httpGet: { path: /, port: 8000 }';
    await cluster.apply(
      pod(
        'probed',
        `command: [ sh, -c, '${SERVER}' ], readinessProbe: { ${http}, periodSeconds: 1 },
         livenessProbe: { exec: { command: [ test, '!', -e, /tmp/dead ] }, periodSeconds: 1, failureThreshold: 1 }`,
      ),
    );
    await waitFor('condition=Ready', 'pod/probed');
    assert.equal(await restarts('probed'), '0');
    await cluster.kubectl('exec', 'probed', '--', 'touch', '/tmp/dead');
    await until('it to be restarted', async () => (await restarts('probed')) === '1');
    await waitFor('condition=Ready', 'pod/probed');
    assert.match(await cluster.kubectl('logs', 'probed', '--previous'), /^/);
  });

  test('exec with standard input and exit codes, by way of the API server', async () => {
    const cat = await cluster.tryKubectlWith('to and fro', 'exec', '-i', 'simple', '--', 'cat');
    assert.deepEqual([cat.stdout, cat.code], ['to and fro', 0], cat.stderr);
    const failed = await cluster.tryKubectl('exec', 'simple', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7');
    assert.deepEqual([failed.stdout, failed.code], ['out\n', 7], failed.stderr);
    assert.match(failed.stderr, /err\n/);
  });

  test('port-forward, by way of the API server', async () => {
    const forward = spawn(join(import.meta.dirname, '../.bin/kubectl'), ['port-forward', 'pod/probed', ':8000'], {
      env: { ...process.env, ...cluster.env, KUBECONFIG: cluster.kubeconfig },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      const [line] = (await Promise.race([once(forward.stdout, 'data'), once(forward, 'exit')])) as [Buffer];
      const port = /127\.0\.0\.1:(\d+)/.exec(String(line))?.[1];
      assert.equal(await (await fetch(`http://127.0.0.1:${port}/`)).text(), 'I am probed\n');
    } finally {
      forward.kill('SIGKILL');
    }
  });

  test("limits in groups of the kubelet, out of memory, users of a pod's own, host ports, volumes", async () => {
    const limits = (memory: string) => `resources: { limits: { cpu: 200m, memory: ${memory} } }`;
    const hostPort = 21_000 + (process.pid % 1_000);
    await cluster.apply(
      [
        pod('limited', `command: [ sleep, '1000' ], ${limits('32Mi')}`),
        pod('hungry', `command: [ tail, /dev/zero ], ${limits('16Mi')}`, 'restartPolicy: Never,'),
        pod('mapped', `command: [ sh, -c, 'cat /proc/self/uid_map; exec sleep 1000' ]`, 'hostUsers: false,'),
        pod(
          'published',
          `command: [ sh, -c, 'cp /data/index.html /; exec httpd -f -p 80' ], ports: [ { containerPort: 80, hostPort: ${hostPort} } ],
           volumeMounts: [ { name: data, mountPath: /data } ]`,
          `volumes: [ { name: data, emptyDir: { medium: Memory } } ],
           initContainers: [ { name: first, image: 'busybox:test', command: [ sh, -c, 'echo from a volume >/data/index.html' ],
                               volumeMounts: [ { name: data, mountPath: /data } ] } ],`,
        ),
      ].join('---'),
    );
    await waitFor('condition=Ready', 'pod/limited', 'pod/mapped', 'pod/published');
    await waitFor('jsonpath={.status.containerStatuses[0].state.terminated.reason}=OOMKilled', 'pod/hungry');
    assert.match(await cluster.kubectl('logs', 'mapped'), /^ +0 +[1-9]\d+ +65536$/m);
    const memory = await cluster.kubectl('exec', 'limited', '--', 'cat', '/proc/self/cgroup');
    assert.match(memory, /kubepods\/pod[^/]+\/[0-9a-f]{64}/);
    const address = await field('published', '.status.hostIP');
    await until('the host port to answer', async () => {
      const answer = await fetch(`http://${address}:${hostPort}/`).catch(() => undefined);
      return (await answer?.text()) === 'from a volume\n';
    });
    await cluster.kubectl('delete', 'pod/limited', 'pod/hungry', 'pod/mapped', 'pod/published', '--timeout=60s');
  });

  test('statistics of pods by way of the kubelet, from CRI', async () => {
    const node = await cluster.jsonPath('nodes', '{.items[0].metadata.name}');
    await until('the summary to have the pod', async () => {
      const { pods } = JSON.parse(await cluster.kubectl('get', '--raw', `/api/v1/nodes/${node}/proxy/stats/summary`)) as Summary;
      const found = pods.find(({ podRef }) => podRef.name === 'simple');
      return found?.containers[0]?.memory?.workingSetBytes && found.network?.rxBytes !== undefined && found.cpu?.usageCoreNanoSeconds;
    });
  });

  test('a Deployment of ten behind a Service answers by its name', async () => {
    const began = performance.now();
    await cluster.apply(DEPLOYMENT);
    await cluster.kubectl('rollout', 'status', 'deployment/web', '--timeout=90s');
    console.log(`# ten pods after ${((performance.now() - began) / 1000).toFixed(1)} s`);
    await cluster.kubectl('expose', 'deployment', 'web', '--port=80', '--target-port=8000');
    await until('the Service to answer by its name', async () => {
      const { stdout } = await cluster.tryKubectl(
        'exec',
        'simple',
        '--',
        'timeout',
        '2',
        'wget',
        '-qO-',
        'http://web.default.svc.cluster.local',
      );
      return /^I am web-/.test(stdout);
    });
  });

  test('the kubelet started again finds everything as it was', async () => {
    const before = await containerId('simple');
    await kubelet.stop('SIGKILL');
    kubelet.start();
    await cluster.apply(pod('later', `command: [ sleep, '1000' ]`));
    await waitFor('condition=Ready', 'pod/later');
    assert.deepEqual([await containerId('simple'), await restarts('simple')], [before, '0']);
    await cluster.kubectl('rollout', 'status', 'deployment/web', '--timeout=60s');
  });

  test('the agent killed with -9 under it: containers go on, new pods start', async () => {
    const before = await containerId('simple');
    process.kill(cluster.pid('agent'), 'SIGKILL');
    await cluster.apply(pod('after', `command: [ sleep, '1000' ]`));
    await waitFor('condition=Ready', 'pod/after');
    await waitFor('condition=Ready', 'nodes', '--all');
    assert.deepEqual([await containerId('simple'), await restarts('simple')], [before, '0']);
    assert.equal(await cluster.kubectl('exec', 'simple', '--', 'echo', 'still here'), 'still here\n');
  });

  test('deletion leaves nothing', async () => {
    await cluster.kubectl('delete', 'deployment/web', 'service/web', 'pod/simple', 'pod/probed', 'pod/later', 'pod/after', '--timeout=90s');
    await cluster.kubectl('wait', '--for=delete', 'pod', '--all', '--timeout=90s');
    await nothingRuns();
  });
});

describe('a real kubelet whose pods have their network from CNI', { skip: program ? false : 'an optional target: make kubelet' }, () => {
  let cluster: TestCluster;
  let kubelet: Kubelet;

  before(async () => {
    cluster = await TestCluster.open({ UMIAK_NODE_AGENT: 'external', UMIAK_CRI_NETWORK: 'cni' });
    const confDir = join(cluster.directory, 'net.d');
    Object.assign(cluster.env, { UMIAK_CNI_CONF_DIR: confDir, UMIAK_CNI_BIN_DIRS: join(import.meta.dirname, '../bin') });
    await cluster.must('up');
    await cluster.loadBusybox();
    const clusterDns = gatewayOf(cluster.env.UMIAK_POD_CIDR ?? '');
    kubelet = new Kubelet({ program: program ?? '', cluster, directory: join(cluster.directory, 'kubelet'), clusterDns });
    kubelet.start();
  });
  after(async () => {
    await kubelet?.[Symbol.asyncDispose]();
    await cluster?.[Symbol.asyncDispose]();
  });

  const readiness = () => cluster.jsonPath('nodes', '{.items[0].status.conditions[?(@.type=="Ready")].message}').catch(() => '');

  test('without a configuration the node says what is missing, with one it becomes Ready', async () => {
    await until('the node to say why it is not Ready', async () => /there is no CNI network in/.test(await readiness()));
    const confDir = cluster.env.UMIAK_CNI_CONF_DIR ?? '';
    mkdirSync(confDir);
    const plugin = { type: 'umiak-cni', socket: join(cluster.runDir, 'cni.sock') };
    writeFileSync(join(confDir, '10-ours.conflist'), JSON.stringify({ cniVersion: '1.1.0', name: 'ours', plugins: [plugin] }));
    await cluster.kubectl('wait', '--for=condition=Ready', '--timeout=60s', 'nodes', '--all');
  });

  const lent = () => readdirSync(join(cluster.dataDir, 'cni/lent')).length;
  const answers = () =>
    until('the Service to answer by its name', async () => {
      const { stdout } = await cluster.tryKubectl('exec', 'client', '--', 'timeout', '2', 'wget', '-qO-', 'http://server');
      return stdout === 'I am server\n';
    });

  test('pods have addresses from our own plugin, reach each other and names', async () => {
    await cluster.apply(`${pod('server', `command: [ sh, -c, '${SERVER}' ]`)}---${pod('client', `command: [ sleep, '1000' ]`)}`);
    await cluster.kubectl('wait', '--for=condition=Ready', '--timeout=60s', 'pod/server', 'pod/client');
    await cluster.kubectl('expose', 'pod', 'server', '--port=80', '--target-port=8000');
    await answers();
    assert.equal(lent(), 2);
  });

  test('the agent killed with -9: their network stays, and goes with them', async () => {
    process.kill(cluster.pid('agent'), 'SIGKILL');
    await answers();
    assert.equal(lent(), 2);
    await cluster.kubectl('delete', 'pod', '--all', '--timeout=60s');
    await until('the links to be taken back', () => lent() === 0 && readdirSync(join(cluster.dataDir, 'cni/results')).length === 0);
  });
});
