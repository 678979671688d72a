import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ContainerConfig } from './engine.ts';
import { stopSignalNameOf, stopSignalOf } from './stop-signal.ts';

const config = { sandboxId: 's', metadata: { name: 'c', attempt: 0 }, image: 'i' } satisfies ContainerConfig;

test('a container is stopped with its own signal, its image’s, or SIGTERM', () => {
  for (const [own, ofImage, name, number] of [
    [undefined, undefined, 'SIGTERM', 15],
    [undefined, '', 'SIGTERM', 15],
    [undefined, 'SIGQUIT', 'SIGQUIT', 3],
    [undefined, '9', 'SIGKILL', 9],
    [undefined, 'usr1', 'SIGUSR1', 10],
    ['SIGRTMIN+3', 'SIGQUIT', 'SIGRTMIN+3', 37],
  ] as const) {
    const wishes = {
      config: { ...config, ...(own ? { stopSignal: own } : {}) },
      imageConfig: ofImage === undefined ? {} : { StopSignal: ofImage },
    };
    assert.deepEqual([stopSignalNameOf(wishes), stopSignalOf(wishes)], [name, number]);
  }
});
