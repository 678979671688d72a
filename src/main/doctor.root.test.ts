import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import type { Finding } from '#engine/doctor/index.ts';
import { type Ran, TestCluster } from '../../tests/cluster.ts';
import { whenState } from './control-socket.ts';

interface Report {
  isFit: boolean;
  counts: Record<Finding['state'], number>;
  findings: Finding[];
}

let cluster: TestCluster;
before(async () => {
  cluster = await TestCluster.open();
});
after(async () => {
  await cluster[Symbol.asyncDispose]();
});

const reportOf = ({ stdout }: Ran): Report => JSON.parse(stdout);
const missing = ({ findings }: Report) => findings.filter(({ state }) => state === 'missing').map(({ about }) => about);
const find = ({ findings }: Report, about: string) => findings.find(finding => finding.about === about);

test('tells a machine that is fit, and leaves it as it was', async () => {
  const ran = await cluster.umiak('doctor', '-o', 'json');
  assert.equal(ran.code, 0, `${ran.stdout}${ran.stderr}`);
  const report = reportOf(ran);
  assert.deepEqual([report.isFit, missing(report)], [true, []]);
  for (const about of ['version', 'overlayfs', 'attributes', 'bridge', 'veth', 'nftables', 'crun', 'conmon', 'seccomp', 'API', 'DNS'])
    assert.equal(find(report, about)?.state, 'ok', about);
  for (const { about, state, remedy } of report.findings) assert.ok(state === 'ok' || remedy, `${about} has no remedy`);
  assert.deepEqual([...scratch(cluster.directory), ...scratch(cluster.dataDir)], []);
  assert.ok(!readFileSync('/proc/self/mountinfo', 'utf8').includes('.umiak-doctor-'));
  assert.ok(!readFileSync('/proc/net/dev', 'utf8').includes('scratch'));
});

test('tells the same as text, area by area, and a verdict at the end', async () => {
  const { stdout, code } = await cluster.umiak('doctor');
  assert.equal(code, 0, stdout);
  const areas = ['kernel', 'control groups', 'security', 'disk', 'network', 'programs', 'limits', 'neighbours', 'time'];
  assert.deepEqual(
    stdout.split('\n').filter(line => areas.includes(line)),
    areas,
  );
  assert.match(stdout, /^ {2}ok {11}nftables {2,}The kernel takes the platform's whole table\.$/m);
  assert.match(stdout, /\numiak works on this machine: \d+ ok, \d+ fall back, 0 missing\n$/);
});

test('a form that does not exist is wrong usage', async () => {
  assert.equal((await cluster.umiak('doctor', '-o', 'yaml')).code, 2);
});

test('a port that another has is missing, with the name of its holder', async () => {
  const server = createServer();
  await new Promise<void>(listening => server.listen(cluster.apiPort, '127.0.0.1', listening));
  try {
    const ran = await cluster.umiak('doctor', '-o', 'json');
    const report = reportOf(ran);
    assert.deepEqual([ran.code, missing(report)], [1, ['API']]);
    assert.match(find(report, 'API')?.says ?? '', new RegExp(`is taken by .* \\(process ${process.pid}\\)`));
  } finally {
    server.close();
  }
});

test("another's chain that drops is told, in a network of its own", async () => {
  const rules = 'add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }';
  const script = 'nft "$1"; shift; exec "$@" doctor -o json';
  const ran = await cluster.command('unshare', ['-n', 'sh', '-c', script, 'sh', rules, ...cluster.program]);
  const found = find(reportOf(ran), 'ip filter FORWARD');
  assert.equal(found?.state, 'fallsBack', ran.stderr);
  assert.match(found?.remedy ?? '', new RegExp(`iifname "${cluster.name}0" accept`));
});

test('without privileges nothing is tried, and that is said', async () => {
  const ran = await cluster.command('setpriv', ['--bounding-set', '-net_admin', ...cluster.program, 'doctor', '-o', 'json']);
  assert.equal(ran.code, 1, ran.stderr);
  const report = reportOf(ran);
  assert.deepEqual(missing(report), ['privileges']);
  assert.equal(find(report, 'nftables'), undefined);
});

test('what a running instance itself holds is not in its way', async () => {
  await cluster.must('up');
  const ran = await cluster.umiak('doctor', '-o', 'json');
  const report = reportOf(ran);
  assert.deepEqual([ran.code, missing(report)], [0, []], ran.stderr);
  for (const about of ['API', 'API for pods', 'DNS', 'DNS over TCP']) assert.match(find(report, about)?.says ?? '', /is this instance's/);
  assert.deepEqual(scratch(cluster.dataDir), []);
});

function scratch(directory: string): string[] {
  return readdirSync(directory).filter(name => name.startsWith('.umiak-doctor-'));
}

test('an agent that has started knows the same a little later, and the Node of a fit machine says nothing of it', async () => {
  await cluster.must('up');
  const heard = ({ details }: { details?: Record<string, unknown> }) => details?.doctor !== undefined;
  const { details = {} } = await whenState(`${cluster.runDir}/agent.sock`, { accept: heard, timeoutMs: 60_000 });
  assert.match(JSON.stringify(details.doctor), /"missing":0/);
  const types = await cluster.kubectl('get', 'nodes', '-o', 'jsonpath={.items[*].status.conditions[*].type}');
  assert.match(types, /Ready/);
  assert.doesNotMatch(types, /MachineProblem/);
  assert.doesNotMatch((await cluster.umiak('status')).stdout, /umiak doctor/);
});
