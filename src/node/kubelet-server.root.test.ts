import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, watch } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createLog, systemClock } from '#base/index.ts';
import type { LocalEngine } from '#engine/local-engine.ts';
import { applyMachine } from '#engine/machine.ts';
import { openEngine } from '#engine/open-engine.ts';
import { removeInstance } from '#engine/remove-instance.ts';
import { BusyboxImages, LoopbackNetworks } from '#engine/testing.ts';
import type { Pod } from '#kinds/pod.ts';
import { KernelChangeJournal } from '#linux/kernel-changes.ts';
import { ClusterPki } from '#pki/index.ts';
import { assertNoLeak, countResources } from '#tests/resources.ts';
import { type ClientChannels, dialChannels } from '#wire/websocket-channels-client.ts';
import { type KubeletServer, startKubeletServer } from './kubelet-server.ts';

const MIB = 1 << 20;
const POD = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'web', namespace: 'shop', uid: 'uid-web' },
  spec: { containers: [{ name: 'main' }, { name: 'brief' }] },
} as unknown as Pod;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Bytes in buffers that somebody still holds. */
function collected(): number {
  collectGarbage();
  return process.memoryUsage().arrayBuffers;
}

/** Processes whose command line has `mark` in it. */
function processesWith(mark: string): string[] {
  return readdirSync('/proc').filter(pid => {
    try {
      return /^\d+$/.test(pid) && Number(pid) !== process.pid && readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(mark);
    } catch {
      return false;
    }
  });
}

async function until(what: string, isTrue: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 20_000; !isTrue(); await sleep(10)) assert.ok(Date.now() < deadline, `waited in vain for ${what}`);
}

async function read(stream: Readable, end: string): Promise<string> {
  let said = '';
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    said += chunk;
    if (said.includes(end)) return said;
  }
  return assert.fail(`it ended without saying ${end}: ${said}`);
}

describe("the node's HTTPS API over real containers", () => {
  const instance = `kubelettest-${process.pid}`;
  const directory = mkdtempSync(join(tmpdir(), `${instance}-`));
  const dirs = { dataDir: `${directory}/data`, runDir: `${directory}/run` };
  const kernel = new KernelChangeJournal({ holder: instance });
  let engine: LocalEngine;
  let pki: ClusterPki;
  let server: KubeletServer;
  let sandboxId: string;

  before(async () => {
    await applyMachine(kernel);
    engine = await openEngine({
      ...dirs,
      instance,
      runtime: 'crun',
      images: new BusyboxImages(`${directory}/image`),
      networks: new LoopbackNetworks(`${directory}/netns`),
      log: createLog({ level: 'warn' }),
    });
    pki = await ClusterPki.open({ directory: `${directory}/pki`, clock: systemClock });
    const { server: tls } = await pki.node('n1', ['127.0.0.1']);
    const pods = { pods: () => [POD], pod: (_namespace: string, name: string) => (name === 'web' ? POD : undefined) };
    const authority = pki.authority.certificate;
    server = await startKubeletServer({ address: '127.0.0.1', port: 0, tls, authority, pods, engine, log: createLog({ level: 'warn' }) });
    const metadata = { name: 'web', namespace: 'shop', uid: 'uid-web', attempt: 0 };
    sandboxId = (await engine.createSandbox({ owner: 'node', metadata, network: 'pod', logDirectory: `${directory}/logs` })).id;
    await run('main', 'i=0; while true; do echo line $i; i=$((i+1)); sleep 0.02; done');
    // What Node opens once and keeps.
    watch(directory).close();
    await (await exec(['true'])).status;
  });
  after(async () => {
    await server?.[Symbol.asyncDispose]();
    for (const { id } of engine?.sandboxes() ?? []) await engine.removeSandbox(id);
    await engine?.[Symbol.asyncDispose]();
    await removeInstance({ instance, ...dirs });
    await kernel.undoAll();
    rmSync(directory, { recursive: true, force: true });
  });

  const run = async (name: string, script: string, attempt = 0, more: object = {}) => {
    const config = {
      sandboxId,
      metadata: { name, attempt },
      image: 'busybox',
      command: ['sh', '-c', script],
      logPath: `${name}-${attempt}.log`,
    };
    return engine.startContainer((await engine.createContainer({ ...config, ...more })).id);
  };
  const tls = () => ({ ca: pki.authority.certificate, cert: pki.kubeletClient.certificate, key: pki.kubeletClient.key });
  const dial = (path: string): Promise<ClientChannels> => dialChannels(`https://127.0.0.1:${server.port}${path}`, { tls: tls() });
  const exec = (command: string[], flags = 'output=1&error=1', container = 'main') =>
    dial(`/exec/shop/web/${container}?${command.map(word => `command=${encodeURIComponent(word)}`).join('&')}&${flags}`);
  const get = (path: string) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      httpsRequest({ host: '127.0.0.1', port: server.port, path, agent: false, ...tls() }, resolve)
        .on('error', reject)
        .end();
    });

  test('a command, its two outputs, its exit code', async () => {
    const channels = await exec(['sh', '-c', 'echo out; echo err >&2; exit 7']);
    assert.deepEqual(await Promise.all([text(channels.stdout), text(channels.stderr)]), ['out\n', 'err\n']);
    assert.equal((await channels.status)?.details?.causes?.[0]?.message, '7');
  });

  test('a command that closes its outputs is waited for', async () => {
    const channels = await exec(['sh', '-c', 'exec >&- 2>&-; sleep 0.3; exit 5']);
    assert.equal((await channels.status)?.details?.causes?.[0]?.message, '5');
  });

  test('50 MB through cat and back, with flat memory', async () => {
    const size = 50 * MIB;
    let most = 0;
    const before = collected();
    const watched = setInterval(() => {
      most = Math.max(most, collected() - before);
    }, 25);
    try {
      const channels = await exec(['cat'], 'input=1&output=1');
      const given = createHash('sha256');
      let left = size;
      const source = new Readable({
        read() {
          const block = left > 0 ? randomBytes(256 << 10) : null;
          if (block) given.update(block);
          left -= block?.length ?? 0;
          this.push(block);
        },
      });
      const sent = pipeline(source, channels.stdin);
      const received = createHash('sha256');
      let bytes = 0;
      for await (const chunk of channels.stdout) {
        received.update(chunk as Buffer);
        bytes += (chunk as Buffer).length;
      }
      await sent;
      assert.equal(bytes, size);
      assert.equal(received.digest('hex'), given.digest('hex'));
      assert.equal((await channels.status)?.status, 'Success');
    } finally {
      clearInterval(watched);
    }
    // Both ends of the connection are in this process.
    assert.ok(most < 24 * MIB, `${(most / MIB).toFixed(1)} MB lay in buffers`);
  });

  test('twenty at once', async () => {
    const outputs = Array.from({ length: 20 }, async (_, index) => {
      const channels = await exec(['sh', '-c', 'read word; echo $word; exit $word'], 'input=1&output=1');
      channels.stdin.end(`${index}\n`);
      assert.equal(await text(channels.stdout), `${index}\n`);
      return (await channels.status)?.details?.causes?.[0]?.message ?? '0';
    });
    assert.deepEqual(
      await Promise.all(outputs),
      Array.from({ length: 20 }, (_, index) => String(index)),
    );
  });

  test('a terminal: both outputs in one, what is typed is echoed', async () => {
    const channels = await exec(['sh', '-c', 'tty; echo error >&2; read word; exit $word'], 'input=1&output=1&tty=1');
    assert.match(await read(channels.stdout, 'error'), /\/dev\/pts\/\d+\r\nerror/);
    channels.stdin.write('4\n');
    assert.match(await text(channels.stdout), /4\r\n/);
    assert.equal((await channels.status)?.details?.causes?.[0]?.message, '4');
  });

  test('a client that vanishes takes its command with it, a terminal or not, reading or not', async () => {
    const before = countResources({ instance, directories: [directory] });
    for (const flags of ['output=1', 'input=1&output=1&tty=1', 'input=1&output=1']) {
      const mark = `98765${flags.length}`;
      const channels = await exec(['sleep', mark], flags);
      await until('the command', () => processesWith(`sleep\0${mark}`).length > 0);
      channels.close();
      await until('the end of the command', () => processesWith(`sleep\0${mark}`).length === 0);
    }
    await until('everything to be let go', () => {
      try {
        assertNoLeak(before, countResources({ instance, directories: [directory] }), { files: false });
        return true;
      } catch {
        return false;
      }
    });
  });

  test('a container that ends ends what is done in it; then it cannot be entered', async () => {
    const { id } = await run('brief', 'sleep 1000');
    const inside = await exec(['sleep', '31337'], 'output=1', 'brief');
    await until('the command', () => processesWith(`sleep\0${31_337}`).length > 0);
    const attached = await dial('/attach/shop/web/brief?output=1&error=1');
    await engine.killContainer(id, 'SIGKILL');
    assert.equal((await inside.status)?.details?.causes?.[0]?.message, '137');
    assert.equal((await attached.status)?.status, 'Success');
    await until('the end', () => engine.container(id)?.state === 'exited');
    const status = await (await exec(['true'], 'output=1', 'brief')).status;
    assert.equal(status?.message, 'container not found ("brief")');
    await engine.removeContainer(id);
  });

  test('attach hears the container and speaks to it; leaving lets it run', async () => {
    const { id } = await run('brief', 'while read line; do echo got $line; done; sleep 1000', 1, { stdin: true });
    for (const word of ['one', 'two']) {
      const channels = await dial('/attach/shop/web/brief?input=1&output=1&error=1');
      channels.stdin.write(`${word}\n`);
      await read(channels.stdout, `got ${word}\n`);
      channels.close();
      await channels.closed;
    }
    assert.equal(engine.container(id)?.state, 'running');
    await engine.stopContainer(id, { graceMs: 0 });
    await engine.removeContainer(id);
  });

  test('attach: the end of the input ends the session, or with stdinOnce the input of the container', async () => {
    const script = 'while read line; do echo got $line; done; echo over; exec sleep 1000';
    const { id: kept } = await run('brief', script, 10, { stdin: true });
    for (const word of ['one', 'two']) {
      const channels = await dial('/attach/shop/web/brief?input=1&output=1&error=1');
      channels.stdin.write(`${word}\n`);
      await read(channels.stdout, `got ${word}\n`);
      channels.stdin.end();
      assert.equal((await channels.status)?.status, 'Success');
    }
    assert.equal(await text(engine.logs(kept)), 'got one\ngot two\n');
    await engine.stopContainer(kept, { graceMs: 0 });
    await engine.removeContainer(kept);

    const { id: once } = await run('brief', 'while read line; do echo got $line; done; echo over', 11, { stdin: true, stdinOnce: true });
    const channels = await dial('/attach/shop/web/brief?input=1&output=1&error=1');
    channels.stdin.end('three\n');
    assert.equal(await text(channels.stdout), 'got three\nover\n');
    assert.equal((await channels.status)?.status, 'Success');
    await until('the end', () => engine.container(once)?.state === 'exited');
    await engine.removeContainer(once);

    // One that only listens leaves the input to others.
    const { id: quiet } = await run('brief', script, 12, { stdin: true, stdinOnce: true });
    const listener = await dial('/attach/shop/web/brief?output=1');
    listener.close();
    await listener.closed;
    const speaker = await dial('/attach/shop/web/brief?input=1&output=1');
    speaker.stdin.write('four\n');
    await read(speaker.stdout, 'got four\n');
    speaker.close();
    await until('the end of the input', () => readFileSync(engine.container(quiet)?.logPath ?? '', 'utf8').includes('over'));
    await engine.stopContainer(quiet, { graceMs: 0 });
    await engine.removeContainer(quiet);
  });

  test('logs: followed without a gap until the reader goes; tail; the one before', async () => {
    const response = await get('/containerLogs/shop/web/main?follow=true');
    const lines = (await read(response, 'line 20\n')).split('\n').slice(0, 21);
    assert.deepEqual(
      lines,
      Array.from({ length: 21 }, (_, index) => `line ${index}`),
    );
    response.destroy();
    assert.equal((await text(await get('/containerLogs/shop/web/main?tailLines=2'))).trim().split('\n').length, 2);
    const [first, second] = [await run('brief', 'echo first', 2), await run('brief', 'echo second', 3)];
    await until('both ends', () => [first, second].every(({ id }) => engine.container(id)?.state === 'exited'));
    assert.equal(await text(await get('/containerLogs/shop/web/brief')), 'second\n');
    assert.equal(await text(await get('/containerLogs/shop/web/brief?previous=true')), 'first\n');
  });

  test('statistics of what runs', async () => {
    const { pods } = JSON.parse(await text(await get('/stats/summary'))) as {
      pods: { containers: { memory: { workingSetBytes: number } }[] }[];
    };
    assert.ok((pods[0]?.containers[0]?.memory.workingSetBytes ?? 0) > 0);
    assert.match(
      await text(await get('/metrics/resource')),
      /^container_cpu_usage_seconds_total\{container="main",namespace="shop",pod="web"\} [\d.]+ \d+$/m,
    );
  });
});
