import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Client } from '#client/index.ts';
import { handlersOf, runtimeOf } from './runtime-class.ts';
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

test('the Node says of each handler what it can do, of its own choice without a name, too', async () => {
  const engine = {
    runtimeHandlers: () => ['crun', 'runsc'],
    runtimeFeatures: async (name = '') => ({
      name,
      type: 'crun' as const,
      recursiveReadOnlyMounts: name === 'crun',
      userNamespaces: name === 'crun',
    }),
  };
  const [quick, other] = [true, false].map(each => ({ recursiveReadOnlyMounts: each, userNamespaces: each }));
  assert.deepEqual(await handlersOf(engine), [
    { name: '', features: quick },
    { name: 'crun', features: quick },
    { name: 'runsc', features: other },
  ]);
});
