import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { dialChannels } from '#wire/websocket-channels-client.ts';
import { CriBench } from './testing.ts';
import type { ContainerEventResponse } from './types.gen.ts';

describe('what comes out of sandboxes and containers over CRI', () => {
  let bench: CriBench;
  let sandbox: string;
  before(async () => {
    bench = await CriBench.open();
    sandbox = await bench.sandbox();
  });
  after(() => bench?.[Symbol.asyncDispose]());

  const call: CriBench['runtime']['call'] = (name, request, options) => bench.runtime.call(name, request, options);
  const exec = async (containerId: string, script: string, more: { stdin?: boolean; tty?: boolean } = {}) => {
    const { url = '' } = await call('Exec', { containerId, cmd: ['sh', '-c', script], stdout: true, stderr: !more.tty, ...more });
    return await dialChannels(url);
  };

  it('Exec: standard input ends, both outputs, exit codes; with a terminal its sizes', async () => {
    const id = await bench.running(sandbox, { metadata: { name: 'exec', attempt: 0 } });
    const echo = await exec(id, 'cat; echo end; echo oh >&2; exit 4', { stdin: true });
    echo.stdin.end('typed\n');
    assert.deepEqual(await Promise.all([text(echo.stdout), text(echo.stderr)]), ['typed\nend\n', 'oh\n']);
    assert.equal((await echo.status)?.details?.causes?.[0]?.message, '4');

    const terminal = await exec(id, 'until [ "$(stty size)" = "40 100" ]; do sleep 0.05; done; echo sized', { stdin: true, tty: true });
    terminal.resize({ width: 80, height: 24 });
    terminal.resize({ width: 100, height: 40 });
    // A first size that comes late makes stty complain.
    assert.match(await text(terminal.stdout), /(^|\n)sized\r\n$/);
    await assert.rejects(call('Exec', { containerId: id, cmd: ['x'], tty: true, stderr: true }), { reason: 'BadRequest' });
    await call('StopContainer', { containerId: id, timeout: 0 });
    await assert.rejects(call('Exec', { containerId: id, cmd: ['x'], stdout: true }), { reason: 'Conflict' });
    await assert.rejects(call('Exec', { containerId: 'nobody', cmd: ['x'], stdout: true }), { reason: 'NotFound' });
  });

  it('Attach: a container reads what is typed, and ends with its input when it is to', async () => {
    const script = { command: ['sh', '-c', 'cat; echo ended'], stdin: true, stdinOnce: true };
    const id = await bench.running(sandbox, { metadata: { name: 'attach', attempt: 0 }, ...script });
    const { url = '' } = await call('Attach', { containerId: id, stdin: true, stdout: true, stderr: true });
    const channels = await dialChannels(url);
    channels.stdin.end('typed\n');
    assert.equal(await text(channels.stdout), 'typed\nended\n');
  });

  it('GetContainerEvents: each of several readers gets all, in order, with statuses', async () => {
    const gone = new AbortController();
    const read = async () => {
      const events: ContainerEventResponse[] = [];
      for await (const event of bench.runtime.stream('GetContainerEvents', {}, { signal: gone.signal })) {
        events.push(event);
        if (event.containerEventType === 'CONTAINER_DELETED_EVENT') break;
      }
      return events;
    };
    const readers = [read(), read()];
    // A reader is there when its request has come: the next call on the same connection comes after it.
    await call('Version', {});
    const pod = await bench.sandbox({ metadata: { name: 'told', namespace: 'n', uid: 'u2', attempt: 0 } });
    const id = await bench.running(pod, { metadata: { name: 'told', attempt: 0 } });
    await call('StopContainer', { containerId: id, timeout: 0 });
    await call('RemoveContainer', { containerId: id });
    const told = await Promise.all(readers);
    gone.abort();
    for (const all of told) {
      // Another test's container may end meanwhile.
      const events = all.filter(({ podSandboxStatus }) => podSandboxStatus?.id === pod);
      assert.deepEqual(
        events.map(({ containerId, containerEventType = 'CONTAINER_CREATED_EVENT' }) => [containerId, containerEventType.split('_')[1]]),
        [
          [pod, 'CREATED'],
          [pod, 'STARTED'],
          [id, 'CREATED'],
          [id, 'STARTED'],
          [id, 'STOPPED'],
          [id, 'DELETED'],
        ],
      );
      assert.deepEqual([events[4]?.containersStatuses?.[0]?.state, events[5]?.containersStatuses?.length ?? 0], ['CONTAINER_EXITED', 0]);
    }
  });

  it('statistics and metrics: lists, their filters and their streams say the same', async () => {
    const labels = { tier: 'counted' };
    const ids = await Promise.all(
      [1, 2].map(i => bench.running(sandbox, { metadata: { name: `counted-${i}`, attempt: 0 }, labels, command: ['sleep', '1000'] })),
    );
    const filter = { podSandboxId: sandbox, labelSelector: labels };
    const { stats = [] } = await call('ListContainerStats', { filter });
    assert.deepEqual(stats.map(({ attributes }) => attributes?.id).sort(), ids.toSorted());
    assert.ok(stats.every(({ memory, cpu }) => Number(memory?.usageBytes?.value) > 0 && Number(cpu?.usageCoreNanoSeconds?.value) > 0));
    const streamed: (string | undefined)[] = [];
    for await (const { containerStats = [] } of bench.runtime.stream('StreamContainerStats', { filter }))
      streamed.push(...containerStats.map(({ attributes }) => attributes?.id));
    assert.deepEqual(streamed.sort(), ids.toSorted());
    const { stats: pod } = await call('PodSandboxStats', { podSandboxId: sandbox });
    assert.ok(Number(pod?.linux?.process?.processCount?.value) >= 2);
    for await (const { podSandboxStats = [] } of bench.runtime.stream('StreamPodSandboxStats', { filter: { id: sandbox } }))
      assert.equal(podSandboxStats[0]?.attributes?.id, sandbox);
    const { podMetrics = [] } = await call('ListPodSandboxMetrics', {});
    for await (const { podSandboxMetrics = [] } of bench.runtime.stream('StreamPodSandboxMetrics', {}))
      assert.equal(podSandboxMetrics.length, podMetrics.length);
    await assert.rejects(call('ContainerStats', { containerId: 'nobody' }), { reason: 'NotFound' });
  });

  it('ReopenContainerLog: what was renamed stays, what comes is in a new file', async () => {
    const script = 'echo before; while [ ! -e /go ]; do sleep 0.02; done; echo after; sleep 1000';
    const id = await bench.running(sandbox, { metadata: { name: 'log', attempt: 0 }, command: ['sh', '-c', script], logPath: 'log.log' });
    const log = join(bench.directory, 'logs/log.log');
    const holds = async (file: string, word: string) => {
      for (const end = Date.now() + 10_000; !(existsSync(file) && readFileSync(file, 'utf8').includes(word)); )
        assert.ok(Date.now() < end, (await bench.sh(id, 'true')) || `${word} in ${file}`);
    };
    await holds(log, 'F before');
    renameSync(log, `${log}.1`);
    await call('ReopenContainerLog', { containerId: id });
    assert.ok(existsSync(log));
    await bench.sh(id, 'touch /go');
    await holds(log, 'F after');
    assert.ok(!readFileSync(`${log}.1`, 'utf8').includes('after'));
  });
});
