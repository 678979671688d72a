import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import { after, before, test } from 'node:test';
import { ProtobufReader } from '#wire/protobuf-reader.ts';
import { parseProtobuf, toProtobuf } from './protobuf/envelope.ts';
import { at, startTestCluster, type TestCluster } from './test-cluster.ts';

const PROTOBUF = 'application/vnd.kubernetes.protobuf';
let cluster: TestCluster;
let agent: https.Agent;
before(async () => {
  cluster = await startTestCluster();
  const { admin, authority } = cluster.pki;
  agent = new https.Agent({ keepAlive: true, ca: authority.certificate, cert: admin.certificate, key: admin.key });
});
after(async () => {
  agent?.destroy();
  await cluster?.[Symbol.asyncDispose]();
});

async function open(method: string, path: string, body?: Buffer, headers: Record<string, string> = {}): Promise<IncomingMessage> {
  const request = https.request(`${cluster.url}${path}`, {
    method,
    agent,
    headers: { accept: PROTOBUF, 'content-type': PROTOBUF, ...(body && { 'content-length': body.length }), ...headers },
  });
  request.end(body);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return response;
}

async function call(method: string, path: string, object?: object, headers: Record<string, string> = {}) {
  const response = await open(method, path, object && toProtobuf(object), headers);
  const parts: Buffer[] = [];
  for await (const part of response) parts.push(part as Buffer);
  return { status: response.statusCode, type: response.headers['content-type'], value: parseProtobuf(Buffer.concat(parts)) };
}

const map = (name: string, value: string) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { value } });
const MAPS = '/api/v1/namespaces/default/configmaps';

test('objects, lists, metadata, discovery and refusals come in protobuf', async () => {
  const made = await call('POST', MAPS, map('a', 'ä'));
  assert.equal(made.status, 201);
  assert.equal(made.type, PROTOBUF);
  assert.equal(at(made.value, 'data.value'), 'ä');
  assert.match(String(at(made.value, 'metadata.resourceVersion')), /^\d+$/);
  const json = await cluster.call('GET', `${MAPS}/a`);
  assert.deepEqual((await call('GET', `${MAPS}/a`)).value, json.body);
  const list = (await cluster.call('GET', MAPS)).body as { items: object[] };
  assert.deepEqual((await call('GET', MAPS)).value, list);
  const partial = `${PROTOBUF};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1`;
  const metadata = await call('GET', MAPS, undefined, { accept: partial });
  assert.equal(at(metadata.value, 'kind'), 'PartialObjectMetadataList');
  assert.equal(at(metadata.value, 'items.0.metadata.name'), 'a');
  const missing = await call('GET', `${MAPS}/none`);
  assert.deepEqual(
    [missing.status, at(missing.value, 'kind'), at(missing.value, 'reason'), at(missing.value, 'code')],
    [404, 'Status', 'NotFound', 404],
  );
  assert.equal(at((await call('GET', '/apis')).value, 'kind'), 'APIGroupList');
  assert.equal(
    at((await call('DELETE', `${MAPS}/a`, { apiVersion: 'v1', kind: 'DeleteOptions', gracePeriodSeconds: 0 })).value, 'status'),
    'Success',
  );
});

test('a watch sends frames of protobuf, bookmarks and errors among them', async () => {
  const query = 'watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=20';
  const response = await open('GET', `${MAPS}?${query}`);
  assert.equal(response.headers['content-type'], `${PROTOBUF};stream=watch`);
  const events = framesOf(response);
  assert.equal(at((await next(events, 'BOOKMARK')).object, 'metadata.annotations')!['k8s.io/initial-events-end' as never], 'true');
  await call('POST', MAPS, map('w', '1'));
  assert.equal(at((await next(events, 'ADDED')).object, 'data.value'), '1');
  await call('PUT', `${MAPS}/w`, map('w', '2'));
  assert.equal(at((await next(events, 'MODIFIED')).object, 'data.value'), '2');
  await call('DELETE', `${MAPS}/w`);
  assert.equal(at((await next(events, 'DELETED')).object, 'metadata.name'), 'w');
  response.destroy();
});

test('CBOR is refused, as a body and as an answer', async () => {
  assert.equal((await cluster.call('POST', MAPS, 'x', { 'content-type': 'application/cbor' })).status, 415);
  assert.equal((await cluster.call('GET', MAPS, undefined, { accept: 'application/cbor' })).status, 406);
  assert.equal((await cluster.call('GET', MAPS, undefined, { accept: 'application/cbor,application/json;q=0.9' })).status, 200);
});

async function next(events: AsyncGenerator<{ type: string; object: unknown }>, type: string): Promise<{ object: unknown }> {
  for (;;) {
    const { value, done } = await events.next();
    assert.ok(!done, `the watch ended before ${type}`);
    if (value.type === type) return value;
  }
}

async function* framesOf(response: IncomingMessage): AsyncGenerator<{ type: string; object: unknown }> {
  let waiting = Buffer.alloc(0);
  for await (const part of response) {
    waiting = Buffer.concat([waiting, part as Buffer]);
    while (waiting.length >= 4 && waiting.length >= 4 + waiting.readUInt32BE()) {
      const length = waiting.readUInt32BE();
      yield toEvent(waiting.subarray(4, 4 + length));
      waiting = waiting.subarray(4 + length);
    }
  }
}

function toEvent(bytes: Buffer): { type: string; object: unknown } {
  const event = { type: '', object: undefined as unknown };
  const reader = new ProtobufReader(bytes);
  while (reader.next()) {
    if (reader.number === 1) event.type = reader.string();
    else {
      const raw = reader.message();
      while (raw.next()) event.object = parseProtobuf(raw.bytes());
    }
  }
  return event;
}
