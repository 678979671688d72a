import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { deleteLinks } from '../bridge.ts';
import { NetworkPool } from '../network-pool.ts';
import { removePins } from '../pins.ts';
import { enterTestNetwork, makeTestBridge, run, temporaryRunDir } from '../test-network.ts';
import { LentRecords } from './lent-links.ts';
import { runAsPlugin } from './plugin-client.ts';
import { PluginServer } from './plugin-server.ts';

enterTestNetwork();
const instance = `cp${process.pid}`;
const runDir = temporaryRunDir();
const bridge = await makeTestBridge(instance);
const socket = join(runDir, 'cni.sock');
const PROGRAM = resolve(import.meta.dirname, '../../../bin/umiak-cni');
const NETNS = ['a', 'b'].map(name => `um${process.pid}${name}`);
for (const name of NETNS) run(['ip', 'netns', 'add', name]);
const [a, b] = NETNS.map(name => `/run/netns/${name}`);
after(() => {
  for (const name of NETNS) run(['ip', 'netns', 'delete', name]);
  deleteLinks(instance);
  removePins(runDir);
  rmSync(runDir, { recursive: true });
});

/** The agent's part, as a start of it opens it. */
async function openAgent({ podCidr = '10.42.7.0/24' } = {}) {
  await using stack = new AsyncDisposableStack();
  const records = new LentRecords(join(runDir, 'lent'));
  const lent = records.all.filter(({ phase }) => phase === 'made').map(({ link }) => link);
  const pool = stack.use(new NetworkPool({ instance, runDir, podCidr, bridge, lent, size: 2 }));
  await pool.adopt([]);
  await pool.filled();
  const server = stack.use(await PluginServer.listen({ socketPath: socket, records, pool, bridge }));
  return Object.assign(stack.move(), { pool, records, server });
}

const CONFIG = { cniVersion: '1.1.0', name: 'umiak', type: 'umiak-cni', socket };

interface Call {
  id?: string;
  netns?: string | undefined;
  ifName?: string;
  config?: object;
}

function call(command: string, { id = 'c1', netns = a, ifName = 'eth0', config = {} }: Call = {}) {
  const env = { CNI_COMMAND: command, CNI_CONTAINERID: id, CNI_NETNS: netns, CNI_IFNAME: ifName, CNI_PATH: '/' };
  return runAsPlugin({ env, input: JSON.stringify({ ...CONFIG, ...config }) });
}

async function ok(command: string, options: Call = {}) {
  const { output, exitCode } = await call(command, options);
  assert.equal(exitCode, 0, output);
  return output === '' ? undefined : JSON.parse(output);
}

async function refused(command: string, options: Call = {}) {
  const { output, exitCode } = await call(command, options);
  assert.equal(exitCode, 1, output);
  const { code, msg } = JSON.parse(output);
  return `${code} ${msg}`;
}

/** The kernel ends a namespace, with its links, some time after nobody has it any more. */
async function untilGone(link: string): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (run(['ip', '-br', 'link']).includes(link)) {
    assert.ok(performance.now() < deadline, `${link} stays`);
    await setTimeout(5);
  }
}

test('ADD wires a namespace into our network, CHECK finds it so, DEL leaves nothing, twice as well', async () => {
  await using agent = await openAgent();
  assert.equal(statSync(socket).mode & 0o777, 0o660);
  const result = await ok('ADD');
  const address = result.ips[0].address.replace('/32', '');
  assert.deepEqual([result.cniVersion, result.ips[0].gateway, result.ips[0].interface], ['1.1.0', '10.42.7.1', 1]);
  assert.deepEqual(result.routes, [{ dst: '0.0.0.0/0', gw: '10.42.7.1' }]);
  assert.deepEqual([result.interfaces[1].name, result.interfaces[1].sandbox], ['eth0', a]);
  assert.match(run(['ip', '-br', 'addr', 'show', 'eth0'], a), new RegExp(`${address}/32`));
  assert.match(run(['ip', 'route'], a), /^default via 10\.42\.7\.1 dev eth0 onlink$/);
  // A pod of ours and one of theirs reach each other; both have addresses of one pool.
  const own = await agent.pool.take();
  assert.notEqual(own.address, address);
  run(['busybox', 'ping', '-c1', '-W2', own.address], a);
  run(['busybox', 'ping', '-c1', '-W2', address], own.path);
  await agent.pool.release(own);
  await ok('CHECK');
  assert.match(await refused('ADD'), /^100 c1 is attached by eth0 already$/);
  run(['ip', 'route', 'delete', 'default'], a);
  assert.match(await refused('CHECK'), /^101 of c1's attachment is missing: the sandbox's default route by eth0$/);
  await ok('DEL');
  assert.doesNotMatch(run(['ip', '-br', 'link'], a), /eth0/);
  await ok('DEL', { netns: '' });
  assert.match(await refused('CHECK'), /^3 c1 is not attached by eth0$/);
  assert.deepEqual([agent.records.all, agent.pool.lent, readdirSync(join(runDir, 'lent'))], [[], [], []]);
});

test('the program itself: environment and standard input in, a result in the version asked for out', async () => {
  await using _ = await openAgent();
  const runPlugin = (command: string, config: object) =>
    new Promise<string>((resolve, reject) => {
      // An id that nobody else has: agents end the plugins of ids that a killed one left.
      const env = {
        PATH: process.env.PATH,
        CNI_COMMAND: command,
        CNI_CONTAINERID: `program-${process.pid}`,
        CNI_NETNS: a,
        CNI_IFNAME: 'net1',
        CNI_PATH: '/',
      };
      const child = execFile(PROGRAM, { env }, (error, stdout) => (error ? reject(new Error(stdout || error.message)) : resolve(stdout)));
      child.stdin?.end(JSON.stringify({ ...CONFIG, ...config }));
    });
  const result = JSON.parse(await runPlugin('ADD', { cniVersion: '0.4.0' }));
  assert.deepEqual([result.cniVersion, result.ips[0].version, result.interfaces[1].name], ['0.4.0', '4', 'net1']);
  assert.equal(await runPlugin('DEL', { cniVersion: '0.4.0', prevResult: result }), '');
  assert.deepEqual(JSON.parse(await runPlugin('VERSION', {})).supportedVersions.at(-1), '1.1.0');
  await assert.rejects(runPlugin('ADD', { cniVersion: '7.0.0' }), /"code":1,"msg":"cniVersion \\"7.0.0\\" is not spoken/);
});

test('what was acknowledged outlives the agent; what was not, and what has lost its namespace, goes', async () => {
  await using before = await openAgent();
  const kept = await ok('ADD', { id: 'kept' });
  const lost = await ok('ADD', { id: 'lost', netns: b });
  const half = before.pool.lend({ path: b!, ifName: 'eth1' });
  before.records.write({ version: 1, phase: 'making', network: 'umiak', containerId: 'half', link: half });
  await before.pool.connect(half);
  await before[Symbol.asyncDispose]();
  assert.match(await refused('ADD', { id: 'c9' }), /^11 the agent of Umiak behind .* can't be asked/);
  assert.match(await refused('STATUS'), /^50 /);
  run(['ip', 'netns', 'delete', NETNS[1]!]);
  await untilGone(lost.interfaces[0].name);
  run(['ip', 'netns', 'add', NETNS[1]!]);
  await using agent = await openAgent();
  assert.deepEqual(
    agent.records.all.map(({ containerId }) => containerId),
    ['kept'],
  );
  assert.equal(`${agent.pool.lent[0]?.address}/32`, kept.ips[0].address);
  await ok('CHECK', { id: 'kept' });
  const others = await Promise.all(
    Array.from({ length: 8 }, (_, index) => ok('ADD', { id: `o${index}`, netns: b, ifName: `net${index}` })),
  );
  const addresses = [kept, ...others].map(({ ips }) => ips[0].address);
  assert.equal(new Set(addresses).size, 9, 'no address twice');
  await ok('GC', { config: { 'cni.dev/valid-attachments': [{ containerID: 'kept', ifname: 'eth0' }] } });
  assert.deepEqual(
    agent.records.all.map(({ containerId }) => containerId),
    ['kept'],
  );
  await ok('GC', { config: { name: 'another', 'cni.dev/valid-attachments': [] } });
  await ok('CHECK', { id: 'kept' });
  await ok('DEL', { id: 'kept' });
});

test('what can not be is refused by code, and leaves nothing', async () => {
  await using agent = await openAgent({ podCidr: '10.42.7.0/29' });
  assert.match(await refused('ADD', { netns: '/etc/passwd' }), /^4 CNI_NETNS "\/etc\/passwd" is no network namespace/);
  assert.match(await refused('ADD', { id: '../x' }), /^4 CNI_CONTAINERID "..\/x" is no id/);
  assert.match(await refused('ADD', { ifName: 'a/b' }), /^4 CNI_IFNAME "a\/b" names no link/);
  assert.match(await refused('PAINT'), /^4 CNI_COMMAND PAINT is unknown/);
  assert.match(await refused('GC'), /^7 GC needs cni.dev\/valid-attachments/);
  assert.match(await refused('ADD', { ifName: 'lo' }), /^5 create veth .*File exists/);
  assert.equal((await runAsPlugin({ env: { CNI_COMMAND: 'ADD' }, input: '{' })).exitCode, 1);
  assert.deepEqual([agent.records.all, agent.pool.lent], [[], []]);
  for (let index = 0; index < 3; index++) await ok('ADD', { id: `c${index}`, ifName: `net${index}` });
  assert.match(await refused('ADD', { id: 'c8', ifName: 'net8' }), /^11 all 5 pod addresses of 10.42.7.0\/29 are in use/);
  for (let index = 0; index < 3; index++) await ok('DEL', { id: `c${index}`, ifName: `net${index}` });
});
