import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { seededRandom } from '#base/ids.ts';
import { type Ran, TestCluster, until } from './cluster.ts';
import { assertNoLeak, countResources, OCCUPIED, type Resources } from './resources.ts';

const deployment = (replicas: number) => `
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: ${replicas}
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - { name: main, image: busybox:test, imagePullPolicy: IfNotPresent, command: [sh, -c, 'trap "exit 0" TERM; sleep 100000 & wait'] }
---
{ apiVersion: v1, kind: Service, metadata: { name: web }, spec: { selector: { app: web }, ports: [{ port: 80 }] } }
`;

describe('instances on one machine', () => {
  let one: TestCluster;
  let two: TestCluster;
  let empty: { one: Resources; two: Resources };

  const count = (cluster: TestCluster) => ({
    ...countResources({ instance: cluster.name, directories: [cluster.directory, cluster.runDir] }),
    descriptors: {},
  });
  const settled = async (cluster: TestCluster, replicas: number) => {
    await cluster.kubectl('rollout', 'status', 'deployment/web', '--timeout=60s');
    const names = (await cluster.kubectl('get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[*].metadata.name}')).split(' ');
    assert.equal(names.length, replicas);
    return names.sort();
  };
  /** The pods that have processes, each with how many shells. */
  const running = (cluster: TestCluster) => {
    const names = cluster
      .processes()
      .flatMap(({ environment }) => environment.flatMap(each => (each.startsWith('HOSTNAME=') ? [each.slice(9)] : [])));
    return [...new Set(names)].sort();
  };

  before(async () => {
    [one, two] = [await TestCluster.open(), await TestCluster.open()];
    empty = { one: count(one), two: count(two) };
    for (const kind of OCCUPIED) assert.deepEqual([empty.one[kind], empty.two[kind]], [[], []], kind);
    await Promise.all([one.must('up'), two.must('up')]);
    await Promise.all([one.loadBusybox(), two.loadBusybox()]);
    await Promise.all([one.apply(deployment(2)), two.apply(deployment(1))]);
  });
  after(async () => {
    await one[Symbol.asyncDispose]();
    await two[Symbol.asyncDispose]();
  });

  test('two side by side know nothing of each other', async () => {
    const [first, second] = await Promise.all([settled(one, 2), settled(two, 1)]);
    assert.deepEqual(running(one), first);
    assert.deepEqual(running(two), second);
    assert.equal(await one.kubectl('get', 'nodes', '-o', 'name'), `node/node-${one.name}\n`);
    assert.equal((await two.tryKubectl('--kubeconfig', one.kubeconfig, 'get', 'pods', '-o', 'name')).stdout.trim().split('\n').length, 2);
    const foreign = await two.tryKubectl('--server', `https://127.0.0.1:${one.apiPort}`, 'get', 'pods');
    assert.match(foreign.stderr, /certificate signed by unknown authority|x509/);
  });

  test('a second up changes nothing; status tells what runs', async () => {
    const pids = [one.pid('server'), one.pid('agent')];
    const before = count(one);
    assert.equal(await one.must('up'), 'umiak is up already\n');
    assert.deepEqual([one.pid('server'), one.pid('agent')], pids);
    assert.deepEqual(count(one).mounts, before.mounts);
    const again = JSON.parse(await one.must('up', '-o', 'json'));
    assert.equal(again.wasUp, true);
    const status = await one.umiak('status');
    assert.equal(status.code, 0, status.stderr);
    assert.match(status.stdout, new RegExp(`127\\.0\\.0\\.1:${one.apiPort}`));
  });

  test("sockets, keys and kubeconfig are nobody else's; nothing listens to the world", async () => {
    const mode = (path: string) => (statSync(path).mode & 0o777).toString(8);
    for (const socket of ['docker.sock', 'server.sock', 'agent.sock']) assert.equal(mode(join(one.runDir, socket)), '660', socket);
    assert.equal(mode(one.kubeconfig), '600');
    const keys = readdirSync(join(one.dataDir, 'pki'), { recursive: true })
      .map(String)
      .filter(name => statSync(join(one.dataDir, 'pki', name)).isFile());
    assert.ok(keys.length > 4);
    for (const key of keys) {
      const content = readFileSync(join(one.dataDir, 'pki', key), 'utf8');
      if (/PRIVATE KEY/.test(content)) assert.equal(mode(join(one.dataDir, 'pki', key)), '600', key);
    }
    const { stdout } = await one.command('ss', ['-Hltnup']);
    const ours = stdout.split('\n').filter(line => [one.pid('server'), one.pid('agent')].some(pid => line.includes(`pid=${pid},`)));
    assert.ok(ours.length >= 4, stdout);
    const node = await one.kubectl('get', 'nodes', '-o', 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}');
    const gateway = (one.env.UMIAK_POD_CIDR ?? '').replace('.0/16', '.1');
    const allowed = ['127.0.0.1', '[::1]', gateway, node];
    for (const line of ours) {
      const local = line.trim().split(/\s+/)[4] ?? '';
      assert.ok(allowed.includes(local.slice(0, local.lastIndexOf(':'))), `listens on ${local}`);
    }
    // The node's own API is the one thing on the machine's address, and wants a certificate.
    const outward = ours.filter(line => line.includes(` ${node}:`));
    assert.equal(outward.length, 1, outward.join('\n'));
    const kubelet = /:(\d+) /.exec(outward[0] ?? '')?.[1];
    const asked = await one.command('curl', ['-sk', '-o', '/dev/null', '-w', '%{http_code}', `https://${node}:${kubelet}/pods`]);
    assert.notEqual(asked.stdout, '200');
  });

  test('wrong usage exits with 2, wrong values are named', async () => {
    const wrong = async (code: number, said: RegExp, ...args: string[]) => {
      const ran: Ran = await one.umiak(...args);
      assert.equal(ran.code, code, `umiak ${args.join(' ')}: ${ran.stderr}`);
      assert.match(ran.stderr, said);
    };
    await wrong(2, /unknown command/, 'frobnicate');
    await wrong(2, /unknown option '--sideways'/, 'up', '--sideways');
    await wrong(2, /missing required argument/, 'exec');
    await wrong(2, /--grace takes a number/, 'down', '--grace', 'long');
    await wrong(1, /runtime must be one of crun, runc, runsc, not "docker"/, '--runtime', 'docker', 'up');
    await wrong(1, /podCidr .*not "10\.1\.0\.0\/30"[\s\S]*UMIAK_POD_CIDR/, '--pod-cidr', '10.1.0.0/30', 'up');
    const config = join(one.directory, 'wrong.yaml');
    writeFileSync(config, 'podCIDR: 10.0.0.0/8\n');
    await wrong(1, /podCIDR is no setting/, '--config', config, 'up');
    await wrong(1, /nowhere\.yaml does not exist/, '--config', '/nowhere.yaml', 'up');
    const help = await one.umiak('up', '--help');
    assert.equal(help.code, 0);
    assert.match(help.stdout, /Examples:/);
  });

  test('down leaves containers, the next up knows them', async () => {
    const names = await settled(one, 2);
    const pids = one.processes().map(({ pid }) => pid);
    await one.must('down');
    assert.deepEqual(
      one.processes().map(({ pid }) => pid),
      pids,
    );
    assert.notEqual((await one.umiak('status')).code, 0);
    await one.must('up');
    assert.deepEqual(await settled(one, 2), names);
    assert.deepEqual(
      one.processes().map(({ pid }) => pid),
      pids,
    );
  });

  test('kill -9 of everything at random moments, and up again', async t => {
    const seed = Number(process.env.UMIAK_SEED) || Math.floor(Math.random() * 1e6);
    t.diagnostic(`UMIAK_SEED=${seed}`);
    const random = seededRandom(seed);
    const rounds = process.env.UMIAK_SOAK ? 100 : 10;
    for (let round = 0; round < rounds; round++) {
      const where = `round ${round} of seed ${seed}`;
      const starting = one.umiak('up');
      await new Promise(resume => setTimeout(resume, random() * 1500));
      await one.killEverything();
      await starting;
      await one.killEverything();
      const up = await one.umiak('up');
      assert.equal(up.code, 0, `${where}: ${up.stderr}\n${one.log('agent').split('\n').slice(-5).join('\n')}`);
      // Pods whose monitor was killed start again, later each time: new ones need not wait.
      await one.kubectl('delete', 'pods', '--all', '--grace-period=0', '--force');
      const names = await settled(one, 2).catch(error => assert.fail(`${where}: ${error.message}`));
      await until(`${where}: only what should run`, () => running(one).join() === names.join(), 10_000).catch(error =>
        assert.fail(`${error.message}: ${running(one).join()} run, ${names.join()} should`),
      );
    }
    assert.equal(await one.kubectl('get', 'nodes', '-o', 'jsonpath={.items[0].status.conditions[?(@.type=="Ready")].status}'), 'True');
  });

  test('down --containers leaves data only; the other goes on', async () => {
    const names = await settled(two, 1);
    await one.must('down', '--containers');
    const left = count(one);
    assertNoLeak(empty.one, left, { files: false });
    assert.deepEqual(
      left.files.filter(file => file.startsWith(one.runDir)),
      [],
    );
    assert.deepEqual(running(two), names);
    assert.equal((await two.umiak('status')).code, 0);
    await two.must('down', '--containers');
    assertNoLeak(empty.two, count(two), { files: false });
    assert.equal((await two.umiak('down', '--containers')).code, 0, 'a second down is no failure');
    await two.must('up');
    await settled(two, 1);
  });
});
