import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { type Ran, TestCluster, until } from '#tests/cluster.ts';

const ROOT = resolve(import.meta.dirname, '..', '..');

let cluster: TestCluster;
let first: Ran;

before(async () => {
  cluster = await TestCluster.up();
  first = await run();
});
after(() => cluster?.[Symbol.asyncDispose]());

/** What `make run` runs after `umiak up`. */
function run(): Promise<Ran> {
  return cluster.command(`${ROOT}/.bin/node`, ['--disable-warning=ExperimentalWarning', `${ROOT}/examples/run.ts`]);
}

async function podOf(app: string): Promise<string> {
  const { items } = JSON.parse(await cluster.must('ps', '-n', 'shop', '-o', 'json')) as { items: { metadata: { name: string } }[] };
  return items.find(({ metadata }) => metadata.name.startsWith(`${app}-`))?.metadata.name ?? '';
}

/** `umiak exec` in a pod of the shop. */
function exec(pod: string, ...command: string[]): Promise<Ran> {
  return cluster.umiak('exec', '-n', 'shop', pod, '--', ...command);
}

test('one command brings the shop up: a request goes through all tiers, the last line is its address', async () => {
  assert.equal(first.code, 0, `${first.stdout}${first.stderr}${cluster.log('agent').slice(-4000)}`);
  assert.match(first.stdout, /"servedBy": "api-/);
  const address = first.stdout.trimEnd().split('\n').at(-1) ?? '';
  assert.match(address, /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.match(await (await fetch(address)).text(), /The boat shop/);
  const order = await fetch(`${address}/api/orders`, { method: 'POST', body: '{"product":"rope","count":2}' });
  assert.equal(order.status, 201);
  const { products } = (await (await fetch(`${address}/api/products`)).json()) as { products: { name: string; left: number }[] };
  assert.equal(products.find(({ name }) => name === 'rope')?.left, 498);
});

test('a second run changes nothing', async () => {
  const before = await cluster.kubectl(
    'get',
    'all,configmaps,secrets',
    '-n',
    'shop',
    '-o',
    'jsonpath={range .items[*]}{.metadata.uid} {.metadata.generation}{"\\n"}{end}',
  );
  const second = await run();
  assert.equal(second.code, 0, second.stderr);
  assert.doesNotMatch(second.stdout, /created|configured|assembl/);
  assert.equal(second.stdout.trimEnd().split('\n').at(-1), first.stdout.trimEnd().split('\n').at(-1));
  const after = await cluster.kubectl(
    'get',
    'all,configmaps,secrets',
    '-n',
    'shop',
    '-o',
    'jsonpath={range .items[*]}{.metadata.uid} {.metadata.generation}{"\\n"}{end}',
  );
  assert.equal(after, before);
});

test('status, ps, logs and exec show it', async () => {
  assert.match(await cluster.must('status'), /pods +4: 4 ready/);
  assert.match(await cluster.must('ps'), /shop +web-\S+ +1\/1 +Running/);
  const [api, redis] = [await podOf('api'), await podOf('redis')];
  assert.match(await cluster.must('logs', '-n', 'shop', api, '--tail', '5'), /listening|GET|POST/);
  assert.equal((await exec(redis, 'redis-cli', 'ping')).stdout, 'PONG\n');
  assert.equal((await exec(api, 'sh', '-c', 'echo out; echo err >&2; exit 7')).code, 7);
  const both = await exec(api, 'sh', '-c', 'echo out; echo err >&2');
  assert.deepEqual([both.stdout, both.stderr, both.code], ['out\n', 'err\n', 0]);
  const piped = await cluster.command('sh', ['-c', `printf 'a b' | ${ROOT}/bin/umiak exec -i -n shop ${api} -- cat`]);
  assert.deepEqual([piped.stdout, piped.code], ['a b', 0]);
  const terminal = `${ROOT}/bin/umiak exec -it -n shop ${api} -- sh -c 'until stty size 2>/dev/null | grep 33; do sleep 0.05; done; test -t 0 && echo terminal'`;
  const { stdout } = await cluster.command('script', ['-qec', `stty rows 33 cols 99; ${terminal}`, '/dev/null']);
  assert.match(stdout, /33 99\r\nterminal\r\n/);
});

test('why says what is well, and what is not and what to do', async () => {
  assert.match(await cluster.must('why', 'deployment/api', '-n', 'shop'), /has all its 2 pods/);
  assert.match(await cluster.must('why', 'svc/web', '-n', 'shop'), /leads to 1 ready endpoint/);
  await cluster.apply(`
apiVersion: v1
kind: Pod
metadata: { name: crashing, namespace: shop }
spec: { containers: [{ name: main, image: 'localhost/shop/api:1', imagePullPolicy: Never, command: [sh, -c, 'echo no more ropes; exit 3'] }] }
---
apiVersion: v1
kind: Pod
metadata: { name: imageless, namespace: shop }
spec: { containers: [{ name: main, image: 'localhost/shop/none:1', imagePullPolicy: Never }] }
---
apiVersion: v1
kind: Pod
metadata: { name: unconfigured, namespace: shop }
spec:
  containers:
    - { name: main, image: 'localhost/shop/api:1', imagePullPolicy: Never, envFrom: [{ configMapRef: { name: nowhere } }] }
---
apiVersion: v1
kind: Pod
metadata: { name: large, namespace: shop }
spec: { containers: [{ name: main, image: 'localhost/shop/api:1', resources: { requests: { cpu: '400' } } }] }
---
apiVersion: v1
kind: Service
metadata: { name: astray, namespace: shop }
spec: { selector: { app: apy }, ports: [{ port: 80 }] }
`);
  const says = async (target: string, words: RegExp) => {
    const ran = await until(`umiak why ${target} to say ${words}`, async () => {
      const its = await cluster.umiak('why', target, '-n', 'shop');
      return words.test(its.stdout) && its;
    });
    assert.equal(ran.code, 0, 'an explanation is a success');
  };
  await says('crashing', /crashes again and again[\s\S]*exit code 3[\s\S]*\| no more ropes/);
  await says('imageless', /localhost\/shop\/none:1 is not on this machine[\s\S]*umiak image load/);
  await says('unconfigured', /ConfigMap nowhere, which is not in namespace shop/);
  await says('large', /1 node has too little cpu left; the pod requests 400/);
  await says('service/astray', /its selector matches no pod[\s\S]*app=api/);
  assert.equal((await cluster.umiak('why', 'node/x')).code, 2);
});

test('stop leaves nothing', async () => {
  await cluster.must('down', '--containers');
  const { stdout } = await cluster.command('sh', ['-c', `ip -br link; nft list tables; cat /proc/mounts; ls /sys/fs/cgroup/*`]);
  assert.doesNotMatch(stdout, new RegExp(`\\b${cluster.name}\\b`));
});
