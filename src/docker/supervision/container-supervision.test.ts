import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Container } from '#engine/engine.ts';
import { readSupervised, toHealthForm } from './container-supervision.ts';

const container = (ownerData: unknown, owner: Container['owner'] = 'docker') =>
  ({ id: 'c', owner, config: { sandboxId: 's', metadata: { name: 'c', attempt: 0 }, image: 'i', ownerData } }) as Container;

const data = (config: object, hostConfig: object, more: object = {}) => ({
  config,
  hostConfig: { RestartPolicy: { Name: '', MaximumRetryCount: 0 }, ...hostConfig },
  ...more,
});

describe('readSupervised', () => {
  it("is docker's own alone", () => assert.equal(readSupervised(container(data({}, {}), 'node')), undefined));

  it('no policy, no check', () => {
    const { policy, check, restartCount, wasStopped } = readSupervised(container(data({}, {}))) ?? assert.fail();
    assert.deepEqual([policy, check, restartCount, wasStopped], [{ policy: 'no', maximumRetries: 0 }, undefined, 0, false]);
  });

  it('all of it', () => {
    const Healthcheck = { Test: ['CMD', 'x'], Interval: 2e9, Timeout: 1.5e9, StartPeriod: 3e9, StartInterval: 1e8, Retries: 4 };
    const RestartPolicy = { Name: 'on-failure', MaximumRetryCount: 5 };
    const notes = { restartCount: 2, wasStopped: true, health: { status: 'healthy', failingStreak: 0, startedAtMs: 7 } };
    assert.deepEqual(readSupervised(container(data({ Healthcheck, Shell: ['bash', '-c'] }, { RestartPolicy }, notes))), {
      policy: { policy: 'on-failure', maximumRetries: 5 },
      check: { test: ['CMD', 'x'], intervalMs: 2000, timeoutMs: 1500, startPeriodMs: 3000, startIntervalMs: 100, retries: 4 },
      shell: ['bash', '-c'],
      ...notes,
    });
  });
});

it('toHealthForm: docker writes', () =>
  assert.deepEqual(toHealthForm({ status: 'unhealthy', failingStreak: 3, log: [{ startMs: 0, endMs: 1, exitCode: -1, output: 'o' }] }), {
    Status: 'unhealthy',
    FailingStreak: 3,
    Log: [{ Start: '1970-01-01T00:00:00.000Z', End: '1970-01-01T00:00:00.001Z', ExitCode: -1, Output: 'o' }],
  }));
