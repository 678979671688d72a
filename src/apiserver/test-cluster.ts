import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import type { Client } from '#client/client.ts';
import { createClient } from '#client/rest-client.ts';
import { builtinKinds } from '#kinds/registry.ts';
import { ClusterPki } from '#pki/cluster-pki.ts';
import { toKubeconfig } from '#pki/kubeconfig.ts';
import { openSqliteStore, type SqliteStore } from '#store/sqlite-store.ts';
import { bootstrapCluster } from './bootstrap.ts';
import { SYSTEM } from './identity.ts';
import { createSecurity } from './security.ts';
import { type ApiServer, type ApiServerOptions, startApiServer } from './server.ts';

/** The real kubectl of the release whose API we serve. */
export const KUBECTL = fileURLToPath(new URL('../../.bin/kubectl', import.meta.url));

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
  body: unknown;
}

/** A real server on a free port, with a real store and real certificates, for tests. */
export interface TestCluster extends AsyncDisposable {
  server: ApiServer;
  store: SqliteStore;
  pki: ClusterPki;
  url: string;
  client: Client;
  kubeconfig: string;
  directory: string;
  /** One HTTPS request as the cluster's administrator, or with the given headers instead of the certificate. */
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  kubectl(...args: string[]): Promise<{ stdout: string; stderr: string }>;
}

export async function startTestCluster(options: Partial<ApiServerOptions> = {}): Promise<TestCluster> {
  const directory = await mkdtemp(join(tmpdir(), `umiak-apiserver-${process.pid}-`));
  const clock = options.clock ?? systemClock;
  const pki = await ClusterPki.open({ directory: join(directory, 'pki'), clock });
  const store = await openSqliteStore({ path: join(directory, 'data.db') });
  const server = await startApiServer({
    store,
    kinds: builtinKinds,
    security: createSecurity({ clock, tokens: pki.tokens, authority: pki.authority.certificate }),
    tls: { key: pki.apiServer.key, cert: pki.apiServer.certificate, ca: pki.authority.certificate },
    addresses: [{ address: '127.0.0.1', port: 0 }],
    log: silentLog,
    ...options,
  });
  await bootstrapCluster({ client: createClient(server.local(SYSTEM)), serviceAddress: server.serviceAddress, endpoints: [] });
  const url = `https://127.0.0.1:${server.listeners[0]!.port}`;
  const kubeconfig = join(directory, 'kubeconfig');
  await writeFile(kubeconfig, toKubeconfig({ server: url, authority: pki.authority.certificate, user: { name: 'admin', ...pki.admin } }));
  const agent = new https.Agent({
    keepAlive: true,
    maxSockets: 32,
    ca: pki.authority.certificate,
    cert: pki.admin.certificate,
    key: pki.admin.key,
  });
  const anonymous = new https.Agent({ keepAlive: true, maxSockets: 32, ca: pki.authority.certificate });
  return {
    server,
    store,
    pki,
    url,
    client: createClient(server.local(SYSTEM)),
    kubeconfig,
    directory,
    call: (method, path, body, headers = {}) =>
      call(`${url}${path}`, method, body, headers, 'authorization' in headers || 'x-anonymous' in headers ? anonymous : agent),
    kubectl: (...args) =>
      promisify(execFile)(KUBECTL, ['--kubeconfig', kubeconfig, '--cache-dir', join(directory, 'cache'), ...args], {
        timeout: 30_000,
        maxBuffer: 64 << 20,
      }),
    async [Symbol.asyncDispose]() {
      agent.destroy();
      anonymous.destroy();
      await server[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function call(url: string, method: string, body: unknown, headers: Record<string, string>, agent: https.Agent): Promise<Answer> {
  const bytes = body === undefined ? undefined : typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const request = https.request(
      url,
      {
        method,
        agent,
        headers: {
          ...(bytes !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(bytes) }),
          ...headers,
        },
      },
      response => {
        const parts: Buffer[] = [];
        response.on('data', part => parts.push(part));
        response.on('end', () => {
          const text = Buffer.concat(parts).toString();
          let parsed: unknown;
          try {
            parsed = JSON.parse(text);
          } catch {
            parsed = undefined;
          }
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text, body: parsed });
        });
        response.on('error', reject);
      },
    );
    request.on('error', reject);
    request.end(bytes);
  });
}

/** What stands at a dotted path of a JSON value: `items.0.metadata.name`. */
export function at(value: unknown, path: string): unknown {
  let found = value;
  for (const word of path.split('.'))
    found = typeof found === 'object' && found !== null ? (found as Record<string, unknown>)[word] : undefined;
  return found;
}

/** One line of a watch. */
export interface Frame {
  type: string;
  object: unknown;
}

/** An open watch: frames come by `next`, which waits for them with a deadline. */
export interface TestWatch extends AsyncDisposable {
  status: number;
  next(): Promise<Frame | undefined>;
  /** Frames up to and with the first that `isLast` says yes to. */
  until(isLast: (frame: Frame) => boolean): Promise<Frame[]>;
}

/** Opens a watch as the administrator. */
export async function openWatch({ url, pki }: TestCluster, path: string, headers: Record<string, string> = {}): Promise<TestWatch> {
  const agent = new https.Agent({ ca: pki.authority.certificate, cert: pki.admin.certificate, key: pki.admin.key });
  const response = await new Promise<IncomingMessage>((resolve, reject) =>
    https.get(`${url}${path}`, { agent, headers }, resolve).on('error', reject),
  );
  const lines = createInterface({ input: response })[Symbol.asyncIterator]();
  const next = async (): Promise<Frame | undefined> => {
    const late = new Promise<never>((_resolve, reject) =>
      setTimeout(() => reject(new Error(`no frame came from ${path}`)), 10_000).unref(),
    );
    const { value, done } = await Promise.race([lines.next(), late]);
    return done ? undefined : (JSON.parse(value as string) as Frame);
  };
  return {
    status: response.statusCode ?? 0,
    next,
    async until(isLast) {
      const frames: Frame[] = [];
      for (;;) {
        const frame = await next();
        if (!frame) return frames;
        frames.push(frame);
        if (isLast(frame)) return frames;
      }
    },
    async [Symbol.asyncDispose]() {
      response.destroy();
      agent.destroy();
    },
  };
}
