import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { type Clock, systemClock } from '#base/clock.ts';
import { messageOf, UmiakError } from '#base/errors.ts';
import { ageBy, lifetimeSeconds, type MessageOutline, outlineOf } from './dns-message.ts';

export interface DnsForwarderOptions {
  /** Addresses, optionally with a port (`192.0.2.53`, `192.0.2.53:5353`), in the order of preference. */
  upstreams: readonly string[];
  /** How long one server may take before the next is asked. */
  timeoutMs?: number;
  clock?: Clock;
}

interface CacheEntry {
  response: Buffer;
  outline: MessageOutline;
  storedAt: number;
  expiresAt: number;
}

const MAX_KEPT_SECONDS = 3600;
const MAX_NEGATIVE_SECONDS = 30;
const MAX_KEPT_BYTES = 4096;
const MOST_KEPT_ANSWERS = 4096;

/** Passes questions to other servers byte by byte and remembers their answers for as long as those allow. */
export class DnsForwarder {
  readonly #upstreams: readonly { host: string; port: number }[];
  readonly #timeoutMs: number;
  readonly #clock: Clock;
  readonly #cache = new Map<string, CacheEntry>();
  readonly #underWay = new Map<string, Promise<Buffer>>();
  #preferred = 0;

  constructor({ upstreams, timeoutMs = 1500, clock = systemClock }: DnsForwarderOptions) {
    this.#upstreams = upstreams.map(upstream => {
      const [host, port] = upstream.split(':');
      return { host: host!, port: Number(port ?? 53) };
    });
    this.#timeoutMs = timeoutMs;
    this.#clock = clock;
  }

  /**
   * The response to a query, with the query's id and spelling.
   * @throws UmiakError `ServiceUnavailable` without upstreams, `Timeout` when none of them answers
   */
  async forward(query: Buffer, { isTcp = false }: { isTcp?: boolean } = {}): Promise<Buffer> {
    const asked = outlineOf(query);
    const key = keyOf(query, asked, isTcp);
    const kept = key === undefined ? undefined : this.#recall(key);
    if (kept) return readdressed(kept, query, asked);
    const current = key === undefined ? undefined : this.#underWay.get(key);
    if (current) return readdressed(await current, query, asked);
    const response = this.#askAll(query, isTcp);
    if (key === undefined) return response;
    this.#underWay.set(key, response);
    try {
      this.#keep(key, await response);
      return await response;
    } finally {
      this.#underWay.delete(key);
    }
  }

  async #askAll(query: Buffer, isTcp: boolean): Promise<Buffer> {
    if (this.#upstreams.length === 0)
      throw new UmiakError('ServiceUnavailable', 'there is no DNS server to ask for names outside the cluster');
    let failure: unknown;
    for (let n = 0; n < this.#upstreams.length; n++) {
      const index = (this.#preferred + n) % this.#upstreams.length;
      try {
        const { host, port } = this.#upstreams[index]!;
        const response = await (isTcp ? askTcp(host, port, query, this.#timeoutMs) : askUdp(host, port, query, this.#timeoutMs));
        this.#preferred = index;
        return response;
      } catch (error) {
        failure = error;
      }
    }
    throw new UmiakError(
      'Timeout',
      `no DNS server answered (${this.#upstreams.map(({ host }) => host).join(', ')}): ${messageOf(failure)}`,
    );
  }

  #recall(key: string): Buffer | undefined {
    const entry = this.#cache.get(key);
    if (!entry) return undefined;
    this.#cache.delete(key);
    const now = this.#clock.monotonic();
    if (now >= entry.expiresAt) return undefined;
    this.#cache.set(key, entry); // youngest again
    const response = Buffer.from(entry.response);
    ageBy(response, entry.outline, Math.floor((now - entry.storedAt) / 1000));
    return response;
  }

  #keep(key: string, response: Buffer): void {
    const outline = outlineOf(response);
    const isNegative = outline.rcode !== 0 || outline.answerCount === 0;
    const seconds = Math.min(lifetimeSeconds(response, outline), isNegative ? MAX_NEGATIVE_SECONDS : MAX_KEPT_SECONDS);
    if (seconds <= 0 || outline.isTruncated || response.length > MAX_KEPT_BYTES) return;
    const storedAt = this.#clock.monotonic();
    this.#cache.set(key, { response: Buffer.from(response), outline, storedAt, expiresAt: storedAt + seconds * 1000 });
    if (this.#cache.size > MOST_KEPT_ANSWERS) this.#cache.delete(this.#cache.keys().next().value!);
  }
}

/** Equal for queries that get equal answers. Undefined when the client sent options, since answers may depend on them. */
function keyOf(query: Buffer, { questionKey, opt }: MessageOutline, isTcp: boolean): string | undefined {
  if (opt && opt.dataBytes > 0) return undefined;
  const edns = opt ? query.toString('latin1', opt.at + 2, opt.at + 8) : ''; // payload size, version, flags
  return `${isTcp ? 't' : 'u'}${query[2]! & 0x01}${query[3]! & 0x30}${edns}/${questionKey}`;
}

/** A response in its asker's own words: id, and the question as it was spelled. */
function readdressed(response: Buffer, query: Buffer, { questionEnd }: MessageOutline): Buffer {
  const own = Buffer.from(response);
  query.copy(own, 0, 0, 2);
  if (outlineOf(own).questionEnd === questionEnd) query.copy(own, 12, 12, questionEnd);
  return own;
}

/** True when `response` answers what was sent: the same id and question. */
function isAnswerTo(response: Buffer, sent: Buffer): boolean {
  try {
    return (
      response.readUInt16BE(0) === sent.readUInt16BE(0) &&
      (response[2]! & 0x80) !== 0 &&
      outlineOf(response).questionKey === outlineOf(sent).questionKey
    );
  } catch {
    return false; // garbage from the network, not an answer
  }
}

/** The query under an id that nobody else knows. */
function disguised(query: Buffer): Buffer {
  const sent = Buffer.from(query);
  sent.writeUInt16BE(randomInt(65536), 0);
  return sent;
}

function askUdp(host: string, port: number, query: Buffer, timeoutMs: number): Promise<Buffer> {
  const sent = disguised(query);
  const socket = createSocket('udp4');
  return new Promise<Buffer>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${host} did not answer within ${timeoutMs} ms`)), timeoutMs);
    socket.on('error', reject);
    socket.on('message', response => {
      if (!isAnswerTo(response, sent)) return;
      clearTimeout(timer);
      query.copy(response, 0, 0, 2);
      resolve(response);
    });
    socket.once('connect', () => socket.send(sent));
    socket.connect(port, host); // its callback would be told errors as well, and in place of 'error'
    socket.once('close', () => clearTimeout(timer));
  }).finally(() => socket.close());
}

function askTcp(host: string, port: number, query: Buffer, timeoutMs: number): Promise<Buffer> {
  const sent = disguised(query);
  const socket = connect({ host, port, noDelay: true });
  return new Promise<Buffer>((resolve, reject) => {
    socket.setTimeout(timeoutMs, () => reject(new Error(`${host} did not answer within ${timeoutMs} ms`)));
    socket.on('error', reject);
    socket.on('close', () => reject(new Error(`${host} closed the connection`)));
    let received = Buffer.alloc(0);
    socket.on('data', (data: Buffer) => {
      received = Buffer.concat([received, data]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const response = Buffer.from(received.subarray(2, 2 + received.readUInt16BE(0)));
      if (!isAnswerTo(response, sent)) return reject(new Error(`${host} answered something else`));
      query.copy(response, 0, 0, 2);
      resolve(response);
    });
    const length = Buffer.alloc(2);
    length.writeUInt16BE(sent.length);
    socket.write(Buffer.concat([length, sent]));
  }).finally(() => socket.destroy());
}
