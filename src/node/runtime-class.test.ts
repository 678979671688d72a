import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Client } from '#client/index.ts';
import { runtimeOf } from './runtime-class.ts';
import { podOf } from './testing.ts';

const having = (handlers: Record<string, string>) =>
  ({
    get: async (_kind: unknown, { name }: { name: string }) => (handlers[name] ? { handler: handlers[name] } : undefined),
  }) as unknown as Client;

test('a RuntimeClass names the program that runs the pod; one that is not here is no silent other', async () => {
  const client = having({ quick: 'crun', other: 'runc', far: 'kata' });
  const handlers = () => ['crun', 'runc'];
  assert.equal(await runtimeOf(podOf(), client, handlers), undefined);
  assert.equal(await runtimeOf(podOf({ runtimeClassName: 'quick' }), client, handlers), 'crun');
  assert.equal(await runtimeOf(podOf({ runtimeClassName: 'other' }), client, handlers), 'runc');
  await assert.rejects(runtimeOf(podOf({ runtimeClassName: 'far' }), client, handlers), {
    reason: 'Invalid',
    message: /^no runtime for "kata" is configured: this node has crun, runc$/,
  });
  await assert.rejects(runtimeOf(podOf({ runtimeClassName: 'gone' }), client, handlers), { reason: 'NotFound' });
});
