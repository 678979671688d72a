import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import { type ClientRequest, request } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { buildTar } from '#images/fixtures.ts';
import { until } from './cluster.ts';
import { DockerHost, dockerArchive } from './docker-host.ts';
import { countResources, planLeaks, type Resources } from './resources.ts';

const BIG = 3 << 20;

let host: DockerHost;
before(async () => {
  host = await DockerHost.start();
  await host.must('POST', '/volumes/create', { Name: 'vol' });
  for (const name of ['runs', 'ended']) {
    const HostConfig = { NetworkMode: 'none', Binds: ['vol:/vol'] };
    await host.must('POST', `/containers/create?name=${name}`, { Image: 'busybox', Cmd: ['sleep', '10000'], HostConfig });
  }
  await host.must('POST', '/containers/runs/start');
});
after(() => host?.[Symbol.asyncDispose]());

/** A call whose body stays in the middle. */
function begin(method: string, path: string, body: Buffer): ClientRequest {
  const headers = { 'content-type': 'application/x-tar', 'transfer-encoding': 'chunked' };
  const call = request({ socketPath: host.socketPath, method, path, headers, agent: false });
  call.on('error', () => {}); // the agent is killed
  call.write(body);
  return call;
}

async function killed(): Promise<void> {
  await host.killAgent();
  await host.startAgent();
}

/** What the kill left, but for what containers have of their own. */
async function leftOf(occupied: Resources): Promise<string[]> {
  const left = () => planLeaks(occupied, countResources(host.cluster.scope), { descriptors: false }).filter(isAnothers);
  await until('nothing more that goes by itself', () => left().length === 0, 3_000).catch(() => {});
  return left();
}

/** Not the agent's own, which is another one now, nor what was copied before the kill. */
function isAnothers(line: string): boolean {
  return !/^(processes: \d+ (\S*node |sleep 10000)|sockets|locks)|\/engine\/(containers|floors)\/|\/(first|half) |network-pool|\/logs\//.test(
    line,
  );
}

const archive = buildTar([
  { name: 'first', content: 'whole' },
  { name: 'half', content: randomBytes(BIG) },
]).subarray(0, BIG / 2);

for (const [where, path] of [
  ['a container that runs', '/containers/runs/archive?path=/tmp'],
  ['one that has ended', '/containers/ended/archive?path=/tmp'],
  ['a volume of one that runs', '/containers/runs/archive?path=/vol'],
  ['a volume of one that has ended', '/containers/ended/archive?path=/vol'],
] as const)
  test(`docker cp into ${where}, cut off by a kill of the agent: nothing of it stays but what was copied`, async () => {
    const occupied = countResources(host.cluster.scope);
    begin('PUT', path, archive);
    await until('the first file', async () => (await host.api('HEAD', `${path}/first`)).status === 200);
    await killed();
    assert.deepEqual(await leftOf(occupied), []);
    await host.must('PUT', path, buildTar([{ name: 'first', content: 'again' }]));
  });

test('docker load, cut off: of what came, whole blobs stay for a while, and for nobody once images are pruned', async () => {
  const layers = [0, 1].map(i => buildTar([{ name: `layer-${i}`, content: randomBytes(BIG) }]));
  const load = dockerArchive(layers, { Cmd: ['sh'] }, ['cut:1']);
  const occupied = countResources(host.cluster.scope);
  begin('POST', '/images/load', load.subarray(0, load.length - BIG / 2));
  const ingest = join(host.cluster.dataDir, 'content/ingest');
  const layersDir = join(host.cluster.dataDir, 'layers');
  const count = readdirSync(layersDir).length;
  await until(
    'half of it',
    () => readdirSync(ingest).some(file => statSync(join(ingest, file)).size > BIG / 4) && readdirSync(layersDir).length > count,
  );
  await killed();
  const whole = await leftOf(occupied);
  assert.ok(whole.length > 0 && whole.every(line => line.includes('/content/sha256/')), whole.join('\n'));
  await host.must('POST', '/images/prune');
  assert.deepEqual(await leftOf(occupied), []);
});
