import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { dirname, resolve } from 'node:path';
import { messageOf, UmiakError } from '#base/errors.ts';
import { type Client, createClient, fromStatus, HttpsTransport } from '#client/index.ts';

/** The API as commands see it. */
export interface Cluster extends AsyncDisposable {
  client: Client;
  /** `https://127.0.0.1:6443` */
  server: string;
  /** The context's namespace. */
  namespace: string;
  tls: { ca: string; cert?: string; key?: string };
  headers: Record<string, string>;
  /** A GET whose body comes as a stream: logs. @throws the server's Status */
  open(path: string, signal?: AbortSignal): Promise<IncomingMessage>;
}

interface Kubeconfig {
  'current-context'?: string;
  contexts?: { name: string; context?: { cluster?: string; user?: string; namespace?: string } }[];
  clusters?: { name: string; cluster?: Record<string, string | undefined> }[];
  users?: { name: string; user?: Record<string, string | undefined> }[];
}

/** Connects by a kubeconfig's current context. @throws NotFound when there is none, with the way to get one */
export async function connectCluster(kubeconfig: string): Promise<Cluster> {
  const { server, ca, cert, key, token, namespace } = await readKubeconfig(kubeconfig);
  const transport = new HttpsTransport({ server, ca, ...(cert && key ? { cert, key } : {}), ...(token ? { token } : {}) });
  const tls = { ca, ...(cert && key ? { cert, key } : {}) };
  const headers: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {};
  return {
    client: createClient(transport),
    server,
    namespace,
    tls,
    headers,
    open: (path, signal) => open(new URL(path, server), { tls, headers, signal }),
    [Symbol.asyncDispose]: () => transport[Symbol.asyncDispose](),
  };
}

interface Credentials {
  server: string;
  ca: string;
  cert?: string | undefined;
  key?: string | undefined;
  token?: string | undefined;
  namespace: string;
}

async function readKubeconfig(path: string): Promise<Credentials> {
  const { parse } = await import('#base/yaml.ts');
  let config: Kubeconfig;
  try {
    config = (parse(await readFile(path, 'utf8')) ?? {}) as Kubeconfig;
  } catch (cause) {
    const isAbsent = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw new UmiakError(isAbsent ? 'NotFound' : 'Invalid', `the kubeconfig ${path} can't be read: ${messageOf(cause)}`, {
      cause,
      hint: isAbsent ? 'Has umiak been started? `umiak up` makes it.' : 'Give another by --kubeconfig.',
    });
  }
  const { context } = config.contexts?.find(({ name }) => name === config['current-context']) ?? {};
  const cluster = config.clusters?.find(({ name }) => name === context?.cluster)?.cluster;
  const user = config.users?.find(({ name }) => name === context?.user)?.user ?? {};
  if (!cluster?.server) throw new UmiakError('Invalid', `the kubeconfig ${path} has no current context with a server`);
  const read = async (map: Record<string, string | undefined>, field: string): Promise<string | undefined> => {
    const [data, file] = [map[`${field}-data`], map[field]];
    if (data) return Buffer.from(data, 'base64').toString();
    return file ? await readFile(resolve(dirname(path), file), 'utf8') : undefined;
  };
  return {
    server: cluster.server,
    ca: (await read(cluster, 'certificate-authority')) ?? '',
    cert: await read(user, 'client-certificate'),
    key: await read(user, 'client-key'),
    token: user.token,
    namespace: context?.namespace ?? 'default',
  };
}

interface Opening {
  tls: Cluster['tls'];
  headers: Record<string, string>;
  signal: AbortSignal | undefined;
}

async function open(url: URL, { tls, headers, signal }: Opening): Promise<IncomingMessage> {
  const { promise, resolve: answered, reject } = Promise.withResolvers<IncomingMessage>();
  const sent = request(url, { ...tls, headers, agent: false, ...(signal ? { signal } : {}) }, answered);
  sent.on('error', cause =>
    reject(
      new UmiakError('ServiceUnavailable', `the API at ${url.host} can't be reached: ${cause.message}`, {
        cause,
        hint: 'Is it running? `umiak status` tells.',
      }),
    ),
  );
  sent.end();
  const response = await promise;
  if (response.statusCode === 200) return response;
  const text = Buffer.concat(await response.toArray()).toString();
  throw fromStatus(parsed(text), response.statusCode ?? 0);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return { message: text.trim() || 'the API answered without a reason' };
  }
}
