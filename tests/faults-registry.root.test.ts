import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { buildImage, buildTar, type FixtureImage } from '#images/fixtures.ts';
import { RegistryFixture } from '#images/registry-fixture.ts';
import { TestCluster, until } from './cluster.ts';
import { pod, shell } from './pod-manifests.ts';
import { podsOf } from './pods.ts';

const files = [{ name: 'bin/' }, { name: 'bin/sh', content: readFileSync('/bin/busybox'), mode: 0o755 }];
const image = buildImage([buildTar(files), buildTar([{ name: 'app', content: 'x'.repeat(100_000) }])], { Env: ['PATH=/bin'] });
const slow = buildImage([buildTar(files), buildTar([{ name: 'app', content: 'y'.repeat(100_000) }])], { Env: ['PATH=/bin'] });
const last = [...image.blobs.keys()].at(-1);
/** Not what its name says. */
const lie: FixtureImage = {
  ...image,
  blobs: new Map([...image.blobs].map(([digest, bytes]) => [digest, digest === last ? Buffer.alloc(bytes.length, 'x') : bytes] as const)),
};

describe('registries that do not do what they should', () => {
  let cluster: TestCluster;
  let registry: RegistryFixture;
  const { apply, inPhase, when } = podsOf(() => cluster);
  const eventsOf = async (name: string) =>
    JSON.parse(await cluster.kubectl('get', 'events', '--field-selector', `involvedObject.name=${name}`, '-o', 'json')).items.map(
      ({ reason, message }: { reason: string; message: string }) => `${reason}: ${message}`,
    ) as string[];
  const from = (name: string, path: string) =>
    pod(name, [shell('echo fine', { image: `${registry.host}/${path}`, imagePullPolicy: 'Always' })]);

  before(async () => {
    cluster = await TestCluster.up();
    registry = await RegistryFixture.start();
    for (const name of ['good', 'hung']) registry.add(name, '1', image);
    registry.add('slow', '1', slow);
    registry.add('lies', '1', lie);
  });
  after(async () => {
    await cluster[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
  });

  test('one that lies is told as ErrImagePull with what was wrong, then waited for; nothing of the lie is kept', async () => {
    await apply(from('lied-to', 'lies:1'));
    const waiting = await when('lied-to', 'ImagePullBackOff', ({ status }) =>
      ['ErrImagePull', 'ImagePullBackOff'].includes(status?.containerStatuses?.[0]?.state?.waiting?.reason ?? ''),
    );
    assert.match(waiting.status?.containerStatuses?.[0]?.state?.waiting?.message ?? '', /digest/);
    assert.ok((await eventsOf('lied-to')).some(line => /^Failed: Failed to pull image .*digest/.test(line)));
    await cluster.kubectl('delete', 'pod', 'lied-to');
    assert.deepEqual(JSON.parse(await cluster.must('image', 'ls', '-o', 'json')), []);
  });

  test('one that is not there is told as such', async () => {
    await apply(pod('nobody', [shell('true', { image: '127.0.0.1:1/none:1' })]));
    await until('the reason', async () =>
      (await eventsOf('nobody')).find(line => /^Failed: Failed to pull .*(refused|ECONNREFUSED)/.test(line)),
    );
    await cluster.kubectl('delete', 'pod', 'nobody');
  });

  test('one that hangs holds up only who waits for it, and who waits can go at once', async () => {
    const held: ServerResponse[] = [];
    registry.faults.push((request, response) => request.url?.includes('/hung/') === true && held.push(response) > 0);
    await apply(from('waits', 'hung:1'));
    await until('the request', () => held.length > 0);
    await apply(from('beside', 'good:1'));
    await inPhase('beside', 'Succeeded');
    assert.ok((await eventsOf('waits')).some(line => line.startsWith('Pulling: ')));
    const began = performance.now();
    await cluster.kubectl('delete', 'pod', 'waits');
    assert.ok(performance.now() - began < 5_000);
    await until('the connection to end', () => held[0]?.destroyed || held[0]?.socket?.destroyed);
  });

  test('one that is slow is waited for as long as it sends', async () => {
    const [name, bytes] = [...slow.blobs].at(-1) ?? ['', Buffer.alloc(0)];
    registry.faults.push((request, response) => {
      if (request.url !== `/v2/slow/blobs/${name}`) return false;
      void trickle(response, bytes);
      return true;
    });
    const began = performance.now();
    await apply(from('patient', 'slow:1'));
    await inPhase('patient', 'Succeeded');
    assert.ok(performance.now() - began > 1_500, 'it was slow');
    const left = readdirSync(join(cluster.dataDir, 'content')).filter(name => name !== 'sha256');
    assert.ok(
      left.every(name => readdirSync(join(cluster.dataDir, 'content', name)).length === 0),
      `left: ${left}`,
    );
  });
});

async function trickle(response: ServerResponse, bytes: Buffer): Promise<void> {
  response.writeHead(200, { 'content-length': bytes.length });
  const step = Math.ceil(bytes.length / 20);
  for (let at = 0; at < bytes.length; at += step) {
    response.write(bytes.subarray(at, at + step));
    await pause(100);
  }
  response.end();
}
