import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { isUmiakError, messageOf } from '#base/errors.ts';
import { isObject } from '#base/json-object.ts';
import { KeyedLock } from '#base/keyed-lock.ts';
import { isPinned } from '#linux/namespaces.ts';
import { listenOnSocket } from '#wire/unix-socket.ts';
import type { Bridge } from '../bridge.ts';
import { macOf } from '../hardware.ts';
import type { LentLink, NetworkPool } from '../network-pool.ts';
import type { CniResult } from './cni-types.ts';
import type { LentRecord, LentRecords } from './lent-links.ts';
import { ALREADY_ATTACHED, CniFailure, MAX_LINE_BYTES, NOT_AS_ATTACHED, type PluginReply, type PluginRequest } from './plugin-protocol.ts';
import { toVersion } from './result.ts';
import { CNI_VERSIONS } from './versions.ts';

export interface PluginServerOptions {
  socketPath: string;
  records: LentRecords;
  /** Has adopted what `records` say. */
  pool: NetworkPool;
  bridge: Bridge;
}

/** Nobody who is connected says nothing for longer. */
const PATIENCE_MS = 60_000;
const CONTAINER_ID = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,199}$/;
const IF_NAME = /^[^\s/:]{1,15}$/;

/**
 * The agent's half of our CNI plugin: links into namespaces of other runtimes' pods, with addresses from the pool that our own pods have theirs from.
 * What is acknowledged outlives this process; what is half made goes at the next start.
 */
export class PluginServer implements AsyncDisposable {
  readonly #options: PluginServerOptions;
  readonly #server: Server;
  readonly #locks = new KeyedLock();
  readonly #peers = new Set<Socket>();

  private constructor(options: PluginServerOptions) {
    this.#options = options;
    this.#server = createServer(peer => this.#serve(peer));
  }

  /** Call when the pool has adopted. Those whose mode lets them (0660) may use it: root, and whose group that is. */
  static async listen(options: PluginServerOptions): Promise<PluginServer> {
    const { socketPath, records, pool } = options;
    const living = new Set(pool.lent.map(({ id }) => id));
    for (const record of records.all) if (!living.has(record.link.id)) records.remove(record);
    const server = new PluginServer(options);
    await listenOnSocket(server.#server, socketPath);
    return server;
  }

  #serve(peer: Socket): void {
    this.#peers.add(peer);
    let asked = '';
    peer.setEncoding('utf8');
    peer.setTimeout(PATIENCE_MS, () => peer.destroy());
    peer.on('error', () => {});
    peer.on('close', () => this.#peers.delete(peer));
    peer.on('data', (chunk: string) => {
      asked += chunk;
      const end = asked.indexOf('\n');
      if (end < 0 && asked.length <= MAX_LINE_BYTES) return;
      peer.removeAllListeners('data').resume();
      void this.#answer(end < 0 ? '' : asked.slice(0, end)).then(reply => peer.end(`${JSON.stringify(reply)}\n`));
    });
  }

  async #answer(line: string): Promise<PluginReply> {
    try {
      return { ok: await this.handle(parseRequest(line)) };
    } catch (error) {
      if (error instanceof CniFailure) return { error: { code: error.code, msg: error.message } };
      const code = isUmiakError(error, 'ServiceUnavailable') ? 11 : 5;
      return { error: { code, msg: messageOf(error) } };
    }
  }

  /** One command; concurrent ones for the same container take turns. @throws CniFailure */
  async handle(request: PluginRequest): Promise<CniResult | null> {
    const { command, config } = request;
    if (command === 'STATUS') return null; // whoever answers can
    if (command === 'GC') return await this.#collect(config);
    const { containerId = '', ifName = '', netns = '' } = request;
    if (!CONTAINER_ID.test(containerId))
      throw new CniFailure('invalidEnvironment', `CNI_CONTAINERID ${JSON.stringify(containerId)} is no id`);
    if (!IF_NAME.test(ifName) || ifName === '.' || ifName === '..')
      throw new CniFailure('invalidEnvironment', `CNI_IFNAME ${JSON.stringify(ifName)} names no link`);
    return await this.#locks.run(containerId, async () => {
      if (command === 'ADD') return await this.#add({ containerId, ifName, netns, config });
      const record = this.#options.records.find(containerId, ifName);
      if (command === 'CHECK') await this.#check(containerId, ifName, record);
      else if (record) await this.#remove(record);
      return null;
    });
  }

  async #add({
    containerId,
    ifName,
    netns,
    config,
  }: {
    containerId: string;
    ifName: string;
    netns: string;
    config: Record<string, unknown>;
  }) {
    const { pool, records } = this.#options;
    if (!netns.startsWith('/') || !isPinned(netns))
      throw new CniFailure('invalidEnvironment', `CNI_NETNS ${JSON.stringify(netns)} is no network namespace`);
    if (records.find(containerId, ifName)) throw new CniFailure(ALREADY_ATTACHED, `${containerId} is attached by ${ifName} already`);
    const link = pool.lend({ path: netns, ifName });
    const record: LentRecord = { version: 1, phase: 'making', network: String(config.name), containerId, link };
    try {
      records.write(record);
      await pool.connect(link);
      records.write({ ...record, phase: 'made' });
    } catch (error) {
      await this.#remove(record);
      throw error;
    }
    return toVersion(this.#resultOf(link), versionOf(config));
  }

  async #check(containerId: string, ifName: string, record: LentRecord | undefined): Promise<void> {
    if (record?.phase !== 'made') throw new CniFailure('unknownContainer', `${containerId} is not attached by ${ifName}`);
    const missing = await this.#options.pool.findMissing(record.link);
    if (missing.length > 0) throw new CniFailure(NOT_AS_ATTACHED, `of ${containerId}'s attachment is missing: ${missing.join(', ')}`);
  }

  async #remove(record: LentRecord): Promise<void> {
    await this.#options.pool.takeBack(record.link);
    this.#options.records.remove(record);
  }

  /** Takes back what of that network is not among the valid attachments. */
  async #collect(config: Record<string, unknown>): Promise<null> {
    const valid = config['cni.dev/valid-attachments'];
    if (!Array.isArray(valid)) throw new CniFailure('invalidConfig', 'GC needs cni.dev/valid-attachments');
    const keep = new Set(valid.map(each => (isObject(each) ? `${each.containerID} ${each.ifname}` : '')));
    const stale = this.#options.records.all.filter(
      ({ network, containerId, link }) => network === config.name && !keep.has(`${containerId} ${link.ifName}`),
    );
    for (const record of stale)
      await this.#locks.run(record.containerId, async () => {
        if (this.#options.records.find(record.containerId, record.link.ifName) === record) await this.#remove(record);
      });
    return null;
  }

  #resultOf({ address, veth, path, ifName }: LentLink): CniResult {
    const { gateway, mtu } = this.#options.bridge;
    return {
      cniVersion: '1.1.0',
      interfaces: [
        { name: veth, mac: macOf(gateway), mtu },
        { name: ifName, mac: macOf(address), mtu, sandbox: path },
      ],
      ips: [{ address: `${address}/32`, gateway, interface: 1 }],
      routes: [{ dst: '0.0.0.0/0', gw: gateway }],
      dns: {},
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.#options.socketPath, { force: true });
    this.#server.close();
    for (const peer of this.#peers) peer.destroy();
  }
}

function parseRequest(line: string): PluginRequest {
  let request: unknown;
  try {
    request = JSON.parse(line);
  } catch {
    throw new CniFailure('decodingFailure', 'the request is no line of JSON');
  }
  if (!isObject(request) || !isObject(request.config) || typeof request.config.name !== 'string')
    throw new CniFailure('invalidConfig', 'the configuration has no name');
  versionOf(request.config);
  const commands = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS'];
  if (!commands.includes(String(request.command))) throw new CniFailure('invalidEnvironment', `CNI_COMMAND ${request.command} is unknown`);
  for (const name of ['containerId', 'netns', 'ifName'])
    if (request[name] !== undefined && typeof request[name] !== 'string') throw new CniFailure('decodingFailure', `${name} is no text`);
  return request as unknown as PluginRequest;
}

function versionOf({ cniVersion }: Record<string, unknown>): string {
  const found = CNI_VERSIONS.find(version => version === cniVersion);
  if (found) return found;
  throw new CniFailure('incompatibleVersion', `cniVersion ${JSON.stringify(cniVersion)} is not spoken; ${CNI_VERSIONS.join(', ')} are`);
}
