import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type DecodedPacket, decode, encode } from 'dns-packet';
import { TestCluster, until } from './cluster.ts';
import { inNetworkOf, OutsideNetwork, processOf } from './inside.ts';

const POLICY = 'terminationGracePeriodSeconds: 1';
const IMAGE = 'image: busybox:test, imagePullPolicy: IfNotPresent';
const SERVE = 'mkdir -p /www; echo "$(hostname) $VERSION" > /www/index.html; touch /tmp/ready; exec httpd -f -p 8080 -h /www';

const manifests = (hostPort: number) => `
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: 2
  strategy: { rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } }
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - { name: main, ${IMAGE}, command: [sh, -c, '${SERVE}'], ports: [{ name: web, containerPort: 8080 }], env: [{ name: VERSION, value: one }],
          lifecycle: { preStop: { sleep: { seconds: 1 } } },
          readinessProbe: { exec: { command: [test, -f, /tmp/ready] }, periodSeconds: 1, failureThreshold: 1 } }
---
{ apiVersion: v1, kind: Service, metadata: { name: web }, spec: { selector: { app: web }, ports: [{ name: http, port: 80, targetPort: web }] } }
---
{ apiVersion: v1, kind: Service, metadata: { name: nodes }, spec: { clusterIP: None, selector: { app: node }, ports: [{ name: http, port: 8080 }] } }
---
{ apiVersion: v1, kind: Service, metadata: { name: outer }, spec: { type: NodePort, selector: { app: web }, ports: [{ port: 80, targetPort: 8080 }] } }
---
{ apiVersion: v1, kind: Service, metadata: { name: alias }, spec: { type: ExternalName, externalName: www.umiak.test } }
---
{ apiVersion: v1, kind: Service, metadata: { name: empty }, spec: { selector: { app: nobody }, ports: [{ port: 80 }] } }
---
{ apiVersion: v1, kind: Namespace, metadata: { name: other } }
---
{ apiVersion: v1, kind: Service, metadata: { name: web, namespace: other }, spec: { clusterIP: None, selector: { app: none }, ports: [{ port: 80 }] } }
---
apiVersion: v1
kind: Pod
metadata: { name: node-0, labels: { app: node } }
spec: { ${POLICY}, hostname: node-0, subdomain: nodes, containers: [{ name: main, ${IMAGE}, command: [sh, -c, '${SERVE}'] }] }
---
apiVersion: v1
kind: Pod
metadata: { name: hosted }
spec: { ${POLICY}, containers: [{ name: main, ${IMAGE}, command: [sh, -c, '${SERVE}'], ports: [{ containerPort: 8080, hostPort: ${hostPort} }] }] }
---
apiVersion: v1
kind: Pod
metadata: { name: alone, labels: { app: alone } }
spec: { ${POLICY}, containers: [{ name: main, ${IMAGE}, command: [sh, -c, '${SERVE}'] }] }
---
{ apiVersion: v1, kind: Service, metadata: { name: alone }, spec: { selector: { app: alone }, ports: [{ port: 80, targetPort: 8080 }] } }
---
apiVersion: v1
kind: Pod
metadata: { name: client }
spec: { ${POLICY}, containers: [{ name: main, ${IMAGE}, command: [sleep, '100000'] }] }
`;

describe('the network, from inside pods and from the machine', () => {
  let cluster: TestCluster;
  let outside: OutsideNetwork;
  let hostPort: number;
  let clientPid: number;
  let upstream: Upstream;

  before(async () => {
    cluster = await TestCluster.open();
    const slot = Number(cluster.name.slice(2));
    upstream = await answerNames(`127.53.0.${slot + 1}`);
    const resolvConf = join(cluster.directory, 'resolv.conf');
    writeFileSync(resolvConf, `nameserver 127.53.0.${slot + 1}\nsearch corp.umiak.test\n`);
    cluster.env.UMIAK_RESOLV_CONF = resolvConf;
    outside = await OutsideNetwork.open(`${cluster.name}out`, `198.18.${slot}`);
    await cluster.must('up');
    await cluster.loadBusybox();
    hostPort = await freePort();
    await cluster.apply(manifests(hostPort));
    await cluster.kubectl('wait', '--for=condition=Ready', 'pod', '--all', '--timeout=60s');
    await cluster.kubectl('rollout', 'status', 'deployment/web', '--timeout=60s');
    clientPid = processOf(cluster, 'client');
  });
  after(async () => {
    await cluster[Symbol.asyncDispose]();
    await outside[Symbol.asyncDispose]();
    upstream.close();
  });

  const inPod = (pod: string, script: string) => cluster.kubectl('exec', pod, '--', 'sh', '-c', script);
  const inClient = (script: string) => inPod('client', script);
  const get = async (path: string, ...of: string[]) => cluster.kubectl('get', ...of, '-o', `jsonpath=${path}`);
  const podNames = async () => (await get('{.items[*].metadata.name}', 'pods', '-l', 'app=web')).split(' ').sort();
  /** Who answers, each once, of so many requests. */
  const answering = async (url: string, count = 24) => {
    const names = await inClient(`for i in $(seq ${count}); do timeout 2 wget -q -O- ${url} || echo FAILED; done`);
    return [
      ...new Set(
        names
          .trim()
          .split('\n')
          .map(line => line.split(' ')[0]),
      ),
    ].sort();
  };
  const gateway = () => (cluster.env.UMIAK_POD_CIDR ?? '').replace('0.0/16', '0.1');

  test('a Service is reached by its names and spreads over its pods', async () => {
    assert.deepEqual(await answering('http://web'), await podNames());
    const address = await get('{.spec.clusterIP}', 'service', 'web');
    const each = await inClient(
      `${['web.default', 'web.default.svc', 'web.default.svc.cluster.local', address]
        .map(host => `timeout 2 wget -q -O- http://${host} && `)
        .join('')}true`,
    );
    assert.equal(each.trim().split('\n').length, 4);
  });

  test('DNS: A, SRV, PTR, headless, search domains, names outside, names that are not', async () => {
    const resolvConf = await inClient('cat /etc/resolv.conf');
    assert.match(resolvConf, new RegExp(`^nameserver ${gateway().replaceAll('.', '\\.')}$`, 'm'));
    assert.match(resolvConf, /^search default\.svc\.cluster\.local svc\.cluster\.local cluster\.local corp\.umiak\.test$/m);
    assert.match(resolvConf, /^options ndots:5$/m);
    const [web, outer, kubernetes] = await Promise.all(
      ['web', 'outer', 'kubernetes'].map(name => get('{.spec.clusterIP}', 'service', name)),
    );
    const node = await get('{.status.podIP}', 'pod', 'node-0');
    const names = {
      web: await lookup('resolve4', 'web.default.svc.cluster.local'),
      'in capitals': await lookup('resolve4', 'WEB.Default.SVC.cluster.LOCAL'),
      'no IPv6': await lookup('resolve6', 'web.default.svc.cluster.local'),
      srv: await lookup('resolveSrv', '_http._tcp.web.default.svc.cluster.local'),
      ptr: await lookup('reverse', web ?? ''),
      'ptr of kubernetes': await lookup('reverse', kubernetes ?? ''),
      headless: await lookup('resolve4', 'nodes.default.svc.cluster.local'),
      'by host name': await lookup('resolve4', 'node-0.nodes.default.svc.cluster.local'),
      'headless srv': await lookup('resolveSrv', '_http._tcp.nodes.default.svc.cluster.local'),
      'ptr of a pod': await lookup('reverse', node),
      'headless without endpoints': await lookup('resolve4', 'web.other.svc.cluster.local'),
      outer: await lookup('resolve4', 'outer.default.svc.cluster.local'),
      'not there': await lookup('resolve4', 'nobody.default.svc.cluster.local'),
      outside: await lookup('resolve4', 'www.umiak.test'),
      'not there outside': await lookup('resolve4', 'nobody.umiak.test'),
      alias: await lookup('resolve4', 'alias.default.svc.cluster.local'),
    };
    const srv = (name: string, port: number) => [{ name, port, priority: 0, weight: 100 }];
    assert.deepEqual(names, {
      web: [web],
      'in capitals': [web],
      'no IPv6': 'ENODATA',
      srv: srv('web.default.svc.cluster.local', 80),
      ptr: ['web.default.svc.cluster.local'],
      'ptr of kubernetes': ['kubernetes.default.svc.cluster.local'],
      headless: [node],
      'by host name': [node],
      'headless srv': srv('node-0.nodes.default.svc.cluster.local', 8080),
      'ptr of a pod': ['node-0.nodes.default.svc.cluster.local'],
      'headless without endpoints': 'ENOTFOUND',
      outer: [outer],
      'not there': 'ENOTFOUND',
      outside: ['203.0.113.80'],
      'not there outside': 'ENOTFOUND',
      alias: ['203.0.113.80'],
    });
    // What libraries do with search domains and resolv.conf, in the pod itself.
    const inside = await inClient(
      'nslookup -type=a web.default.svc.cluster.local | tail -n 3; timeout 2 wget -q -O- http://node-0.nodes:8080; nslookup nobody.default.svc.cluster.local; true',
    );
    assert.match(inside, new RegExp(`Address: ${web}`));
    assert.match(inside, /^node-0 /m);
    assert.match(inside, /NXDOMAIN/);
    const asked = upstream.asked.length;
    assert.deepEqual(await lookup('resolve4', 'www.umiak.test'), ['203.0.113.80']);
    assert.equal(upstream.asked.length, asked, 'the second time from the cache');
  });

  const lookup = (method: 'resolve4' | 'resolve6' | 'resolveSrv' | 'reverse', name: string) => lookUpIn(clientPid, gateway(), method, name);

  test('a pod reaches itself through its Service', async () => {
    assert.match(await inPod('alone', 'for i in 1 2 3; do timeout 2 wget -q -O- http://alone.default; done'), /^(alone \n){3}$/);
  });

  test('a Service without endpoints refuses at once', async () => {
    const began = performance.now();
    assert.match(await inClient('timeout 5 wget -O- http://empty 2>&1; true'), /refused/);
    assert.ok(performance.now() - began < 3000);
  });

  test('from the machine: ClusterIP, NodePort on loopback and on its address, hostPort', async () => {
    const nodePort = await get('{.spec.ports[0].nodePort}', 'service', 'outer');
    const address = await get('{.status.addresses[0].address}', 'node', cluster.env.UMIAK_NODE_NAME ?? '');
    const [web, names] = [await get('{.spec.clusterIP}', 'service', 'web'), await podNames()];
    for (const url of [`http://${web}`, `http://127.0.0.1:${nodePort}`, `http://${address}:${nodePort}`]) {
      const name = (await (await fetch(url)).text()).split(' ')[0] ?? '';
      assert.ok(names.includes(name), `${url} answered ${name}`);
    }
    for (const host of ['127.0.0.1', address, '[::1]'])
      assert.equal(await (await fetch(`http://${host}:${hostPort}`)).text(), 'hosted \n', host);
    assert.match(
      await inClient(`timeout 2 wget -q -O- http://${address}:${nodePort}; timeout 2 wget -q -O- http://${address}:${hostPort}`),
      /^web.*\nhosted /,
    );
    await assert.rejects(listenOn(hostPort), { code: 'EADDRINUSE' });
  });

  test('outward with the address of the machine', async () => {
    await using _teller = await outside.tellAddresses(9000);
    assert.match(await inClient(`nc ${outside.address} 9000`), new RegExp(`${outside.machineAddress.replaceAll('.', '\\.')}$`, 'm'));
  });

  test('endpoints follow readiness', async () => {
    const [first = '', second = ''] = await podNames();
    await inPod(first, 'rm /tmp/ready');
    await until('only the other to be ready', async () => (await endpoints()) === second);
    await until('the rules', async () => (await answering('http://web', 8)).join() === second, 5000);
    assert.deepEqual(await answering('http://web'), [second]);
    await inPod(first, 'touch /tmp/ready');
    await until('both', async () => (await endpoints()) === `${first} ${second}`);
    await until('the rules', async () => (await answering('http://web')).join() === `${first},${second}`, 5000);
  });
  const endpoints = async () => {
    const text = await get(
      '{range .items[*].endpoints[?(@.conditions.ready==true)]}{.targetRef.name}{"\\n"}{end}',
      'endpointslices',
      '-l',
      'kubernetes.io/service-name=web',
    );
    return text.trim().split('\n').sort().join(' ');
  };

  test('a pod reaches the API by its name, with its token and the CA; what it may is what RBAC says', async () => {
    const secrets = '/var/run/secrets/kubernetes.io/serviceaccount';
    const [ca = '', token = '', namespace] = (await inClient(`cd ${secrets}; cat ca.crt; echo ,; cat token; echo ,; cat namespace`)).split(
      /,\s*/,
    );
    assert.equal(namespace, 'default');
    const ask = (path: string) => askApi(clientPid, gateway(), { ca, token: token.trim(), path });
    const port = await get('{.spec.ports[0].port}', 'service', 'kubernetes');
    assert.equal(port, '443');
    assert.deepEqual(await ask('/version').then(({ status }) => status), 200);
    const refused = await ask('/api/v1/namespaces/default/pods');
    assert.equal(refused.status, 403);
    assert.match(refused.body, /system:serviceaccount:default:default.* cannot list resource \\"pods\\"/);
    await cluster.kubectl('create', 'role', 'reader', '--verb=get,list', '--resource=pods');
    await cluster.kubectl('create', 'rolebinding', 'reader', '--role=reader', '--serviceaccount=default:default');
    await until('the binding to count', async () => (await ask('/api/v1/namespaces/default/pods')).status === 200, 5000);
    assert.equal((await ask('/api/v1/namespaces/other/pods')).status, 403);
    assert.equal((await ask('/api/v1/namespaces/default/secrets')).status, 403);
    assert.equal((await askApi(clientPid, gateway(), { ca, token: 'nonsense', path: '/version' })).status, 401);
  });

  test('a rolling update loses no request', async () => {
    await inClient(
      '(while ! test -f /tmp/stop; do timeout 3 wget -q -O- http://web || echo FAILED; done > /tmp/answers; touch /tmp/stopped) > /dev/null 2>&1 &',
    );
    await cluster.kubectl('set', 'env', 'deployment/web', 'VERSION=two');
    await cluster.kubectl('rollout', 'status', 'deployment/web', '--timeout=60s');
    await until('the old pods to be gone', async () => (await podNames()).length === 2);
    const answers = (await inClient('touch /tmp/stop; until test -f /tmp/stopped; do sleep 0.05; done; cat /tmp/answers'))
      .trim()
      .split('\n');
    const counts = { one: 0, two: 0, other: [] as string[] };
    for (const answer of answers) {
      if (answer.endsWith(' one')) counts.one++;
      else if (answer.endsWith(' two')) counts.two++;
      else counts.other.push(answer);
    }
    assert.deepEqual(counts.other, [], `of ${answers.length} requests`);
    assert.ok(counts.one > 0 && counts.two > 0, `${counts.one} by the old, ${counts.two} by the new`);
  });

  test('a killed agent is missed by DNS for a moment, and Services go on', async t => {
    const resolver = new Resolver({ timeout: 100, tries: 1 });
    resolver.setServers([gateway()]);
    const expected = await resolver.resolve4('web.default.svc.cluster.local');
    const before = cluster.pid('agent');
    const address = `http://${expected[0]}`;
    // As glibc asks: a port that nobody has would be an error at once, instead of a question to ask again.
    const asker = createSocket('udp4');
    t.after(() => asker.close());
    const refusals: Error[] = [];
    asker.on('error', error => refusals.push(error));
    await new Promise<void>(resolve => asker.connect(53, gateway(), resolve));
    let [gapSince, longest, answered] = [undefined as number | undefined, 0, 0];
    process.kill(before, 'SIGKILL');
    const wrong: string[] = [];
    await until(
      'DNS to answer again for a second',
      async () => {
        asker.send(Buffer.alloc(12), () => {});
        try {
          await resolver.resolve4('web.default.svc.cluster.local');
          if (gapSince !== undefined) longest = Math.max(longest, performance.now() - gapSince);
          gapSince = undefined;
          answered++;
        } catch (error) {
          const { code = '' } = error as { code?: string };
          if (code === 'ENOTFOUND') wrong.push('said that the name does not exist');
          gapSince ??= performance.now();
          answered = 0;
        }
        if (
          !(await fetch(address).then(
            response => response.ok,
            () => false,
          ))
        )
          wrong.push('the Service did not answer');
        return answered > 15 && cluster.pid('agent') !== before && longest > 0;
      },
      15_000,
    );
    t.diagnostic(`DNS was gone for ${longest.toFixed(0)} ms`);
    assert.deepEqual(wrong, []);
    assert.deepEqual(refusals, []);
    // Half a second to a second on a machine that does nothing else; what this one does meanwhile is not the agent's.
    assert.ok(longest < 5_000, `${longest.toFixed(0)} ms`);
    await until(
      'hostPorts too',
      () =>
        fetch(`http://127.0.0.1:${hostPort}`).then(
          response => response.ok,
          () => false,
        ),
      5000,
    );
  });
});

function lookUpIn(pid: number, server: string, method: string, name: string): Promise<unknown> {
  const script = `
    import { Resolver } from 'node:dns/promises';
    const [server, method, name] = process.argv.slice(1);
    const resolver = new Resolver({ timeout: 2000, tries: 2 });
    resolver.setServers([server]);
    print(await resolver[method](name).catch(error => error.code));`;
  return inNetworkOf(pid, script, server, method, name).then(found => withoutType(found));
}

/** Node 26 adds `type: 'SRV'` to what it resolves. */
function withoutType(found: unknown): unknown {
  if (!Array.isArray(found)) return found;
  return found.map(each =>
    typeof each === 'object' && each ? Object.fromEntries(Object.entries(each).filter(([key]) => key !== 'type')) : each,
  );
}

interface ApiAnswer {
  status: number;
  body: string;
}

function askApi(pid: number, dns: string, { ca, token, path }: { ca: string; token: string; path: string }): Promise<ApiAnswer> {
  const script = `
    import { Resolver } from 'node:dns/promises';
    import { request } from 'node:https';
    const [dns, ca, token, path] = process.argv.slice(1);
    const resolver = new Resolver({ timeout: 2000, tries: 2 });
    resolver.setServers([dns]);
    const [host] = await resolver.resolve4('kubernetes.default.svc.cluster.local');
    const headers = { authorization: 'Bearer ' + token };
    const { promise, resolve } = Promise.withResolvers();
    request({ host, port: 443, servername: 'kubernetes.default.svc', ca, path, headers, agent: false }, async response => {
      let body = '';
      for await (const chunk of response) body += chunk;
      resolve({ status: response.statusCode, body });
    }).end();
    print(await promise);`;
  return inNetworkOf(pid, script, dns, ca, token, path);
}

interface Upstream {
  asked: string[];
  close(): void;
}

/** A DNS server for names outside the cluster: knows `www.umiak.test`. */
async function answerNames(address: string): Promise<Upstream> {
  const socket = createSocket('udp4');
  const asked: string[] = [];
  socket.on('message', (message, from) => {
    const { id = 0, questions = [] }: DecodedPacket = decode(message);
    const [{ name, type } = { name: '', type: 'A' as const }] = questions;
    asked.push(`${type} ${name}`);
    const isKnown = name === 'www.umiak.test';
    const answers = isKnown && type === 'A' ? [{ type: 'A' as const, name, ttl: 60, data: '203.0.113.80' }] : [];
    socket.send(encode({ type: 'response', id, flags: 0x0180 | (isKnown ? 0 : 3), questions, answers }), from.port, from.address);
  });
  await new Promise<void>((listening, failed) => socket.once('error', failed).bind({ address, port: 53 }, listening));
  return { asked, close: () => socket.close() };
}

async function listenOn(port: number): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening, failed) => server.once('error', failed).listen(port, '127.0.0.1', listening));
  const address = server.address();
  await new Promise(closed => server.close(closed));
  return typeof address === 'object' && address ? address.port : 0;
}

const freePort = () => listenOn(0);
