import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { type AddressInfo, connect as connectTcp, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Duplex, PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { WebSocket } from 'ws';
import { ManualClock, silentLog, systemClock, UmiakError } from '#base/index.ts';
import type { Container, ExecOptions, LogOptions } from '#engine/engine.ts';
import { endsWithInput } from '#engine/streaming/session.ts';
import type { Pod } from '#kinds/pod.ts';
import { noUsage } from '#linux/cgroup-usage.ts';
import { CertificateAuthority, type CertificatePair, ClusterPki } from '#pki/index.ts';
import { dialChannels } from '#wire/websocket-channels-client.ts';
import { type KubeletServer, type KubeletServerOptions, startKubeletServer } from './kubelet-server.ts';

const POD = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'web', namespace: 'shop', uid: 'u1' },
  spec: { containers: [{ name: 'main' }, { name: 'ended' }, { name: 'waits' }] },
} as unknown as Pod;

const CONTAINERS = [
  { name: 'main', attempt: 0, state: 'exited' },
  { name: 'main', attempt: 1, state: 'running' },
  { name: 'ended', attempt: 0, state: 'exited' },
].map(
  ({ name, attempt, state }) =>
    ({
      id: `${name}-${attempt}`,
      config: { sandboxId: 's', metadata: { name, attempt } },
      state,
      createdAtMs: 1,
      startedAtMs: 1,
    }) as Container,
);

async function until(what: string, isTrue: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 10_000; !isTrue(); await sleep(1)) assert.ok(Date.now() < deadline, `waited in vain for ${what}`);
}

describe("the node's HTTPS API", () => {
  const directory = mkdtempSync(join(tmpdir(), `umiak-kubelet-${process.pid}-`));
  const clock = new ManualClock();
  const asked: { logs: [string, LogOptions][]; exec: [string, ExecOptions][]; checkpoints: [id: string, location: string][] } = {
    logs: [],
    exec: [],
    checkpoints: [],
  };
  let log: () => Readable = () => Readable.from(['said\n']);
  let exec: (options: ExecOptions) => ReturnType<KubeletServerOptions['engine']['exec']>;
  let dialPod: (port: number) => Promise<Duplex> = () => Promise.reject(new UmiakError('ServiceUnavailable', 'nobody listens'));
  let attachClosed = 0;
  let attached = new PassThrough();
  const engine: KubeletServerOptions['engine'] = {
    sandboxes: () =>
      [{ id: 's', state: 'ready', config: { metadata: { uid: 'u1' } } }] as ReturnType<KubeletServerOptions['engine']['sandboxes']>,
    containers: () => CONTAINERS,
    container: id => CONTAINERS.find(each => each.id === id),
    exec: (id, options) => {
      asked.exec.push([id, options]);
      return exec(options);
    },
    attach: async () => ({ stdout: attached, resize: () => {}, close: () => void attachClosed++ }),
    dial: (_id, port) => dialPod(port),
    logs: (id, options = {}) => {
      asked.logs.push([id, options]);
      return log();
    },
    checkpoint: async (id, { location }) => void asked.checkpoints.push([id, location]),
    stats: async () => ({ ...noUsage(), atMs: clock.now(), cpuUsageNs: 1, memoryUsageBytes: 1, memoryWorkingSetBytes: 1, pids: 1 }),
    networkStats: async () => [],
    writableDirectory: id => join(directory, id),
  };
  let pki: ClusterPki;
  let tls: CertificatePair;
  let server: KubeletServer;
  before(async () => {
    pki = await ClusterPki.open({ directory: join(directory, 'pki'), clock: systemClock });
    tls = (await pki.node('n1', ['127.0.0.1'])).server;
    const pods = { pods: () => [POD], pod: (namespace: string, name: string) => (`${namespace}/${name}` === 'shop/web' ? POD : undefined) };
    const options = { address: '127.0.0.1', port: 0, tls, authority: pki.authority.certificate, nodeName: 'n1', pods, engine };
    server = await startKubeletServer({ ...options, checkpointDirectory: join(directory, 'checkpoints'), clock, log: silentLog });
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });

  const ask = (path: string, { as = pki.kubeletClient, method = 'GET' }: { as?: CertificatePair | null; method?: string } = {}) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      const identity = as ? { cert: as.certificate, key: as.key } : {};
      const place = { host: '127.0.0.1', port: server.port, ca: pki.authority.certificate, agent: false };
      httpsRequest({ ...place, ...identity, path, method }, resolve)
        .on('error', reject)
        .end();
    });
  const get = async (path: string, options?: Parameters<typeof ask>[1]): Promise<[number, string, IncomingHttpHeaders]> => {
    const response = await ask(path, options);
    return [response.statusCode ?? 0, await text(response), response.headers];
  };
  const dial = (path: string, as: CertificatePair = pki.kubeletClient) =>
    dialChannels(`https://127.0.0.1:${server.port}${path}`, {
      tls: { ca: pki.authority.certificate, cert: as.certificate, key: as.key },
    });

  test('who is let in', async () => {
    const strangers = await CertificateAuthority.open({ directory: join(directory, 'other'), clock: systemClock });
    const stranger = await strangers.issue({
      commonName: 'kube-apiserver-kubelet-client',
      organizations: ['kubeadm:cluster-admins', 'system:masters'],
      usages: ['clientAuth'],
    });
    const table: [string, CertificatePair | null, number][] = [
      ["the API server's client", pki.kubeletClient, 200],
      ["the cluster's masters", pki.admin, 200],
      ['nobody', null, 401],
      ['a certificate of another authority, whatever it says', stranger, 401],
      ['a node', (await pki.node('n1', ['127.0.0.1'])).client, 403],
      ['a user', await pki.client('jane', ['developers']), 403],
      ['a user of that name', await pki.client('kube-apiserver-kubelet-client'), 403],
      ["the API server's serving certificate", pki.apiServer, 401],
    ];
    for (const [who, as, status] of table) {
      assert.equal((await get('/healthz', { as }))[0], status, who);
      if (!as || status === 200) continue;
      await assert.rejects(
        dial('/exec/shop/web/main?command=id&output=1', as),
        { reason: status === 401 ? 'Unauthorized' : 'Forbidden' },
        who,
      );
    }
    assert.deepEqual(asked.exec, []);
  });

  test('a connection resumed without a certificate is not let in', async () => {
    const place = { host: '127.0.0.1', port: server.port, ca: pki.authority.certificate };
    const talk = (session?: Buffer) =>
      new Promise<{ answer: string; ticket: Buffer | undefined; isReused: boolean }>((resolve, reject) => {
        const socket = connectTls({ ...place, ...(session && { session }) });
        const found = { answer: '', ticket: undefined as Buffer | undefined, isReused: false };
        socket.on('secureConnect', () => {
          found.isReused = socket.isSessionReused();
        });
        socket.on('session', ticket => {
          found.ticket = ticket;
        });
        socket.on('data', chunk => {
          found.answer += chunk;
        });
        socket.on('error', reject);
        socket.on('close', () => resolve(found));
        socket.write('GET /healthz HTTP/1.1\r\nHost: n1\r\nConnection: close\r\n\r\n');
      });
    const { ticket } = await talk();
    const { isReused, answer } = await talk(ticket);
    assert.ok(isReused);
    assert.match(answer, /^HTTP\/1\.1 401 /);
  });

  test('paths and what they answer', async () => {
    const table: [path: string, status: number, body: RegExp, method?: string][] = [
      ['/healthz', 200, /^ok$/],
      ['/pods', 200, /^\{"kind":"PodList",.*"name":"web"/],
      ['/stats/summary', 200, /^\{"node":\{"nodeName":"n1"/],
      ['/metrics', 200, /^kubelet_running_pods 1$/m],
      ['/metrics/resource', 200, /^container_memory_working_set_bytes\{container="main",namespace="shop",pod="web"\} 1 \d+$/m],
      ['/containerLogs/shop/web/main', 200, /^said\n$/],
      ['/containerLogs/shop/gone/main', 404, /^pod "gone" does not exist$/],
      ['/containerLogs/shop/web/none', 404, /^container "none" not found in pod "web"$/],
      ['/containerLogs/shop/web/waits', 400, /^container "waits" in pod "web" is waiting to start: ContainerCreating$/],
      ['/containerLogs/shop/web/ended?previous=true', 400, /^previous terminated container "ended" in pod "web" not found$/],
      ['/containerLogs/shop/web/main?tailLines=x', 400, /^tailLines: "x"/],
      ['/portForward/shop/web', 400, /^Upgrade request required$/],
      ['/exec/shop/web/main?command=id', 400, /^Upgrade request required$/, 'POST'],
      ['/healthz', 405, /no DELETE/, 'DELETE'],
      ['/nothing', 404, /no \/nothing/],
      ['/containerLogs/shop/%ff/main', 400, /is no path/],
      ['//', 404, /has no/],
    ];
    for (const [path, status, body, method = 'GET'] of table) {
      const [answered, said] = await get(path, { method });
      assert.equal(answered, status, `${method} ${path}: ${said}`);
      assert.match(said, body, path);
    }
  });

  test('a checkpoint: the archive the engine is asked for is what is answered', async () => {
    const [code, body] = await get('/checkpoint/shop/web/main', { method: 'POST' });
    const [[id, location] = []] = asked.checkpoints;
    assert.deepEqual([code, JSON.parse(body)], [200, { items: [location] }]);
    assert.match(location ?? '', /\/checkpoints\/checkpoint-web_shop-main-\d{4}-\d\d-\d\dT\d{6}Z\.tar$/);
    assert.equal(CONTAINERS.find(each => each.id === id)?.config.metadata.name, 'main');
    assert.equal((await get('/checkpoint/shop/web/none', { method: 'POST' }))[0], 404);
    assert.equal((await get('/checkpoint/shop/web/main'))[0], 404);
  });

  test('logs: what is asked of the engine', async () => {
    asked.logs.length = 0;
    await get('/containerLogs/shop/web/main?follow=true&tailLines=3&sinceSeconds=5&timestamps=true&limitBytes=9&stream=Stderr');
    await get('/containerLogs/shop/web/main?previous=true');
    const [[id, { signal, ...options }], [previous]] = asked.logs as [[string, LogOptions], [string, LogOptions]];
    assert.deepEqual([id, previous], ['main-1', 'main-0']);
    assert.ok(signal);
    assert.deepEqual(options, {
      follow: true,
      timestamps: true,
      stream: 'stderr',
      tailLines: 3,
      limitBytes: 9,
      sinceMs: clock.now() - 5000,
    });
  });

  test('a log waits for a slow reader, and ends when the reader goes', async () => {
    let given = 0;
    const endless = new Readable({
      read() {
        given += 65_536;
        this.push(Buffer.alloc(65_536));
      },
    });
    log = () => endless;
    const response = await ask('/containerLogs/shop/web/main?follow=true');
    let before = -1;
    // Until nothing more is read: what lies in all buffers on the way is a few megabytes.
    while (before !== given) {
      before = given;
      await sleep(100);
    }
    assert.ok(given < 32 << 20, `${given} bytes were read ahead`);
    response.destroy();
    await until('the log to be closed', () => endless.destroyed);
    assert.ok(asked.logs.at(-1)?.[1].signal?.aborted);
    log = () => Readable.from(['said\n']);
  });

  test('a log that breaks off breaks the answer off', async () => {
    log = () =>
      Readable.from(
        (async function* () {
          yield 'a beginning\n';
          await sleep(10);
          throw new Error('the disk is gone');
        })(),
      );
    await assert.rejects(get('/containerLogs/shop/web/main'), { code: 'ECONNRESET' });
    log = () => Readable.from(['said\n']);
  });

  test('exec: what is asked of the engine, and how a failure is told', async () => {
    asked.exec.length = 0;
    exec = async () => Promise.reject(new UmiakError('InternalError', 'no such file: nothing'));
    const channels = await dial('/exec/shop/web/main?command=nothing&command=-x&input=1&output=1&tty=1');
    const status = await channels.status;
    assert.deepEqual([status?.status, status?.message, status?.reason], ['Failure', 'no such file: nothing', 'InternalError']);
    const [[id, { signal, ...options }]] = asked.exec as [[string, ExecOptions]];
    assert.deepEqual([id, options], ['main-1', { command: ['nothing', '-x'], tty: true, stdin: true }]);
    assert.ok(signal);
  });

  test('exec: a long command', async () => {
    exec = () => Promise.reject(new UmiakError('BadRequest', 'heard'));
    const word = 'a'.repeat(60 << 10);
    const channels = await dial(`/exec/shop/web/main?command=echo&command=${word}&output=1`);
    assert.equal((await channels.status)?.message, 'heard');
    assert.equal(asked.exec.at(-1)?.[1].command[1], word);
  });

  test('exec into what does not run, or is not there, is told on the channel', async () => {
    for (const [path, message] of [
      ['web/ended', 'container not found ("ended")'],
      ['web/none', 'container not found ("none")'],
      ['gone/main', 'pod "gone" does not exist'],
    ]) {
      const status = await (await dial(`/exec/shop/${path}?command=id&output=1`)).status;
      assert.deepEqual([status?.status, status?.message, status?.reason, status?.code], ['Failure', message, 'NotFound', 404]);
    }
  });

  test('upgrades of what has none', async () => {
    await assert.rejects(dial('/portForward/shop/web'), { reason: 'BadRequest', message: 'query parameter "port" is required' });
    await assert.rejects(dial('/portForward/shop/gone'), { reason: 'NotFound' });
    await assert.rejects(dial('/containerLogs/shop/web/main'), { reason: 'NotFound' });
  });

  test('a port-forward in channels: the port first, then what the pod says, and what goes wrong', async () => {
    const forwarded = async (ports: string) => {
      const webSocket = new WebSocket(
        `wss://127.0.0.1:${server.port}/portForward/shop/web?${ports}`,
        ['v5.channel.k8s.io', 'v4.channel.k8s.io'],
        {
          ca: pki.authority.certificate,
          cert: pki.kubeletClient.certificate,
          key: pki.kubeletClient.key,
        },
      );
      const channels: string[] = [];
      webSocket.on('message', (data: Buffer) => {
        channels[data[0]!] = (channels[data[0]!] ?? '') + data.toString('latin1', 1);
        if (data.length === 3 && data[0] === 0) webSocket.send(Buffer.from('\0hello'));
      });
      const closed = Promise.withResolvers<void>();
      webSocket.on('error', error => closed.reject(error));
      webSocket.on('close', () => closed.resolve());
      await closed.promise;
      return channels;
    };
    const number = (port: number) => String.fromCharCode(port & 0xff, port >> 8);
    const refused = [number(8080), `${number(8080)}error forwarding port 8080 to pod: nobody listens`];
    assert.deepEqual(await forwarded('port=8080'), refused);
    const echo = createTcpServer(socket => socket.once('data', data => socket.end(`${data}!`)));
    await new Promise<void>(resolve => echo.listen(0, '127.0.0.1', resolve));
    const { port } = echo.address() as AddressInfo;
    dialPod = async asked =>
      asked === 8080 ? Promise.reject(new UmiakError('ServiceUnavailable', 'nobody listens')) : connectTcp(port, '127.0.0.1');
    try {
      assert.deepEqual(await forwarded('port=80,8080'), [`${number(80)}hello!`, number(80), ...refused]);
    } finally {
      echo.close();
    }
    await assert.rejects(forwarded('port=x'), /Unexpected server response: 400/);
    await assert.rejects(forwarded(''), /Unexpected server response: 400/);
  });

  test('exec: output comes whole, what nobody asked for is read all the same, a command that closed its output goes on', async () => {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const { promise: exitCode, resolve: exit } = Promise.withResolvers<number>();
    let closed = 0;
    exec = async () => ({ stdout, stderr, exitCode, resize: () => {}, close: () => void closed++ });
    const channels = await dial('/exec/shop/web/main?command=x&output=1');
    const output = text(channels.stdout);
    stdout.end('out');
    const noise = Buffer.alloc(1 << 20);
    for (let times = 0; times < 4; times++) if (!stderr.write(noise)) await new Promise(resolve => stderr.once('drain', resolve));
    stderr.end();
    assert.equal(closed, 0);
    exit(3);
    assert.equal(await output, 'out');
    assert.equal(await text(channels.stderr), '');
    assert.equal((await channels.status)?.details?.causes?.[0]?.message, '3');
  });

  test("exec: the terminal's sizes reach it", async () => {
    const stdout = new PassThrough();
    const sizes: object[] = [];
    exec = async () => ({
      stdout,
      exitCode: Promise.withResolvers<number>().promise,
      resize: size => void sizes.push(size),
      close: () => {},
    });
    const channels = await dial('/exec/shop/web/main?command=x&output=1&tty=1');
    channels.resize({ width: 101, height: 33 });
    await until('the size', () => sizes.length > 0);
    assert.deepEqual(sizes, [{ rows: 33, columns: 101 }]);
    channels.close();
  });

  test('exec: a client that goes aborts the command, and its streams end', async () => {
    const stdout = new PassThrough();
    const { promise: exitCode, resolve: exit } = Promise.withResolvers<number>();
    let signal: AbortSignal | undefined;
    exec = async options => {
      signal = options.signal;
      options.signal?.addEventListener('abort', () => exit(137));
      return { stdout, exitCode, resize: () => {}, close: () => {} };
    };
    const channels = await dial('/exec/shop/web/main?command=x&output=1');
    await until('the command', () => signal !== undefined);
    channels.close();
    await until('the command to be aborted', () => signal?.aborted === true && stdout.destroyed);
  });

  test('attach: a client that goes detaches; the end of the container is its success', async () => {
    const first = await dial('/attach/shop/web/main?output=1');
    attached.write('hello');
    assert.equal(String((await first.stdout[Symbol.asyncIterator]().next()).value), 'hello');
    first.close();
    await until('the detachment', () => attachClosed === 1);
    attached = new PassThrough();
    const second = await dial('/attach/shop/web/main?output=1');
    attached.end('bye');
    assert.equal(await text(second.stdout), 'bye');
    assert.equal((await second.status)?.status, 'Success');
  });

  test('attach: who is let go at the end of their input', () => {
    const ends = (config: object) => endsWithInput({ config } as Container);
    assert.equal(ends({ stdin: true }), true);
    assert.equal(ends({ stdin: true, tty: true }), true);
    assert.equal(ends({ stdin: true, stdinOnce: true }), false);
    assert.equal(ends({ stdin: true, stdinOnce: true, tty: true }), true);
    assert.equal(ends({}), false);
  });
});
