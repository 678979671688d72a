import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { after, describe, test } from 'node:test';
import { ManualClock, UmiakError } from '#base/index.ts';
import type { Container } from '#engine/engine.ts';
import { Pod } from '#kinds/pod.ts';
import { made } from '#kinds/testing.ts';
import { terminationFile } from './container-planner.ts';
import { LocalHooks } from './lifecycle-hooks.ts';
import type { ContainerSpec } from './parts.ts';

const podDirectory = mkdtempSync(join(tmpdir(), 'umiak-hooks-'));
after(() => rmSync(podDirectory, { recursive: true, force: true }));

const pod = made(Pod, { metadata: { name: 'p', namespace: 'default', uid: 'u' }, spec: { containers: [{ name: 'c', image: 'i' }] } });
const container = (more: Partial<ContainerSpec>): ContainerSpec => ({ name: 'c', image: 'i', ...more });
const ended = (attempt: number, exitCode: number) => ({ id: 'id', exitCode, config: { metadata: { name: 'c', attempt } } }) as Container;
let nextAttempt = 0;

/** A place for last words that nobody else uses. */
function place() {
  const attempt = nextAttempt++;
  const file = terminationFile(podDirectory, pod.metadata.uid, 'c', attempt);
  mkdirSync(dirname(file), { recursive: true });
  return { attempt, file };
}

const hooksOf = (engine: Partial<ConstructorParameters<typeof LocalHooks>[0]['engine']> = {}, clock = new ManualClock()) =>
  new LocalHooks({
    engine: { execSync: () => Promise.reject(new Error('no exec')), logs: () => Readable.from([]), ...engine },
    podDirectory,
    clock,
  });

describe('last words', () => {
  const fallback = container({ terminationMessagePolicy: 'FallbackToLogsOnError' });
  const log = (text: string) => ({ logs: () => Readable.from([Buffer.from(text)]) });

  test('are what the container wrote, of much the end', async () => {
    const { attempt, file } = place();
    writeFileSync(file, 'because');
    assert.equal(await hooksOf().terminationMessage(pod, container({}), ended(attempt, 1)), 'because');
    writeFileSync(file, `${'x'.repeat(5000)}ä${'y'.repeat(4095)}`);
    assert.equal(await hooksOf().terminationMessage(pod, container({}), ended(attempt, 1)), 'y'.repeat(4095), 'no half characters');
  });

  test('come from the log only if asked for, with a failure, and when nothing was written', async () => {
    const { attempt, file } = place();
    const said = (spec: ContainerSpec, exitCode: number) => hooksOf(log('oh no')).terminationMessage(pod, spec, ended(attempt, exitCode));
    assert.equal(await said(container({}), 1), undefined);
    assert.equal(await said(fallback, 0), undefined);
    assert.equal(await said(fallback, 1), 'oh no');
    writeFileSync(file, 'written');
    assert.equal(await said(fallback, 1), 'written');
  });

  test('from a log are bounded, and an unreadable log is said to be one', async () => {
    const { attempt } = place();
    const long = await hooksOf(log('z'.repeat(1 << 20))).terminationMessage(pod, fallback, ended(attempt, 1));
    assert.equal(long, 'z'.repeat(2048));
    const broken = {
      logs: () =>
        Readable.from(
          (async function* () {
            yield await Promise.reject(new Error('the disk is gone'));
          })(),
        ),
    };
    assert.match((await hooksOf(broken).terminationMessage(pod, fallback, ended(attempt, 1))) ?? '', /the disk is gone/);
  });

  test('are never read through a symbolic link or from a directory', async () => {
    const link = place();
    symlinkSync('/etc/passwd', link.file);
    assert.equal(await hooksOf().terminationMessage(pod, container({}), ended(link.attempt, 1)), undefined);
    const directory = place();
    mkdirSync(directory.file);
    assert.equal(await hooksOf().terminationMessage(pod, container({}), ended(directory.attempt, 1)), undefined);
  });
});

describe('hooks', () => {
  const withHook = (preStop: object) => container({ lifecycle: { preStop, postStart: preStop } });

  test('exec: its exit code decides', async () => {
    const exits = (exitCode: number) => hooksOf({ execSync: async () => ({ exitCode, output: 'said' }) });
    const spec = withHook({ exec: { command: ['true'] } });
    await exits(0).postStart(pod, spec, 'id', '');
    await assert.rejects(exits(3).postStart(pod, spec, 'id', ''), /\(\["true"\]\) for Container "c" failed - exit code 3, message: "said"/);
    assert.deepEqual(await exits(0).preStop(pod, spec, 'id', '', 1000), {});
    assert.match((await exits(3).preStop(pod, spec, 'id', '', 1000)).failed ?? '', /exit code 3/);
  });

  test('exec that takes too long is left', async () => {
    const slow = hooksOf({ execSync: () => Promise.reject(new UmiakError('Timeout', 'late')) });
    const { failed } = await slow.preStop(pod, withHook({ exec: { command: ['sleep', '9'] } }), 'id', '', 1000);
    assert.match(failed ?? '', /took longer/);
  });

  test('HTTP: any answer will do, none will not', async () => {
    const asked: string[] = [];
    const server = createServer((request, response) => {
      asked.push(request.url ?? '');
      response.writeHead(500).end();
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const spec = withHook({ httpGet: { path: '/bye', port } });
    try {
      assert.deepEqual(await hooksOf().preStop(pod, spec, 'id', '127.0.0.1', 5000), {});
      assert.deepEqual(asked, ['/bye']);
    } finally {
      await new Promise(resolve => server.close(resolve));
    }
    assert.match((await hooksOf().preStop(pod, spec, 'id', '127.0.0.1', 5000)).failed ?? '', /refused/);
    await assert.rejects(hooksOf().postStart(pod, withHook({ tcpSocket: { port } }), 'id', '127.0.0.1'), /TCP lifecycle hook/);
  });

  test('sleep: as long as asked, at most as long as there is', async () => {
    const clock = new ManualClock();
    let over = false;
    const pausing = hooksOf({}, clock)
      .preStop(pod, withHook({ sleep: { seconds: 60 } }), 'id', '', 5_000)
      .then(() => {
        over = true;
      });
    await Promise.resolve();
    clock.advance(4_999);
    await new Promise(setImmediate);
    assert.equal(over, false);
    clock.advance(1);
    await pausing;
  });
});
