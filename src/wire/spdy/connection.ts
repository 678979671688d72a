import { Duplex } from 'node:stream';
import { messageOf, UmiakError } from '#base/errors.ts';
import { controlFrame, dataHead, FLAG_FIN, FRAME, type Frame, FrameReader, STATUS, words } from './frames.ts';
import { HeaderPacker, HeaderUnpacker, type SpdyHeaders } from './headers.ts';

export interface SpdyOptions {
  /** The connection after the upgrade; the SPDY connection owns it. */
  socket: Duplex;
  /** What came with the upgrade already. */
  head?: Buffer;
  /** Servers' streams have even ids, clients' odd ones. */
  role: 'server' | 'client';
  /** A stream that the peer opened. Without it, none may. */
  onStream?: (stream: SpdyStream) => void;
}

/** More at a time are refused. */
const MOST_STREAMS = 2_000;
/** Longer writes are cut. */
const CHUNK_BYTES = 64 << 10;
const HEADERS_AT = { [FRAME.synStream]: 10, [FRAME.synReply]: 4, [FRAME.headers]: 4 } as Record<number, number>;

/**
 * SPDY/3.1 as Kubernetes' clients speak it for exec, attach and port-forward: byte streams in one connection, each opened with headers.
 * There is no flow control by window (their library has none): a reader that is slow holds up the connection, and so its peer.
 */
export class SpdyConnection {
  /** Resolves when the connection is over, however it ended. */
  readonly closed: Promise<void>;
  readonly #socket: Duplex;
  readonly #role: 'server' | 'client';
  readonly #onStream: SpdyOptions['onStream'];
  readonly #streams = new Map<number, SpdyStream>();
  readonly #packer = new HeaderPacker();
  readonly #unpacker = new HeaderUnpacker();
  #packing: Promise<unknown> = Promise.resolve();
  #lastPeerId = 0;
  #nextId: number;

  constructor({ socket, head = Buffer.alloc(0), role, onStream }: SpdyOptions) {
    this.#socket = socket;
    this.#role = role;
    this.#onStream = onStream;
    this.#nextId = role === 'server' ? 2 : 1;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    socket.on('error', () => socket.destroy());
    socket.once('close', () => {
      this.#end();
      resolve();
    });
    void this.#receive(head);
  }

  /** Opens a stream; what is written into it follows the headers. */
  open(headers: SpdyHeaders): SpdyStream {
    const id = this.#nextId;
    this.#nextId += 2;
    const stream = this.#add(id, headers);
    void this.#sendHeaders(headers, block => controlFrame(FRAME.synStream, 0, words(id, 0), Buffer.alloc(2), block));
    return stream;
  }

  /** Ends the connection once what was written has gone. */
  close(): void {
    if (this.#socket.writable) this.#socket.end(controlFrame(FRAME.goAway, 0, words(this.#lastPeerId, 0)));
    // The peer may have nothing to say any more, or not listen.
    this.#socket.resume();
  }

  terminate(): void {
    this.#socket.destroy();
  }

  #add(id: number, headers: SpdyHeaders): SpdyStream {
    const stream = new SpdyStream(headers, {
      write: (payload, done) => this.#writeData(id, payload, done),
      end: done => this.#send(dataHead(id, FLAG_FIN, 0), done),
      reset: () => this.#send(controlFrame(FRAME.rstStream, 0, words(id, STATUS.cancel)), () => {}),
      gone: () => this.#streams.delete(id),
    });
    this.#streams.set(id, stream);
    return stream;
  }

  /** Header blocks lean on each other: they are packed and sent in one order, and before the data that belongs to them. */
  async #sendHeaders(headers: SpdyHeaders, frame: (block: Buffer) => Buffer): Promise<void> {
    this.#packing = this.#packing.then(async () => {
      const block = await this.#packer.pack(headers);
      if (this.#socket.writable) this.#socket.write(frame(block));
    });
    await this.#packing.catch(() => this.terminate());
  }

  #send(frame: Buffer, done: (error?: Error | null) => void): void {
    void this.#packing.then(() => (this.#socket.writable ? this.#socket.write(frame, done) : done(new Error('the connection is gone'))));
  }

  #writeData(id: number, payload: Buffer, done: (error?: Error | null) => void): void {
    const pieces: Buffer[] = [];
    for (let at = 0; at < payload.length; at += CHUNK_BYTES) {
      const piece = payload.subarray(at, at + CHUNK_BYTES);
      pieces.push(dataHead(id, 0, piece.length), piece);
    }
    this.#send(Buffer.concat(pieces), done);
  }

  async #receive(head: Buffer): Promise<void> {
    const reader = new FrameReader();
    try {
      for (const frame of reader.read(head)) await this.#take(frame);
      for await (const chunk of this.#socket) for (const frame of reader.read(chunk as Buffer)) await this.#take(frame);
      // The peer says no more; what we have to say may still go.
      for (const stream of this.#streams.values()) stream.endReading();
      this.#socket.end();
    } catch (error) {
      this.#socket.destroy(error instanceof UmiakError ? error : new Error(messageOf(error)));
    }
  }

  async #take(frame: Frame): Promise<void> {
    if (frame.type === 'data') {
      const stream = this.#streams.get(frame.streamId);
      if (frame.payload.length > 0) await stream?.receive(frame.payload);
      if (frame.fin) stream?.endReading();
      return;
    }
    const { kind, flags, payload } = frame;
    const id = payload.length >= 4 ? payload.readUInt32BE(0) & 0x7fffffff : 0;
    const headersAt = HEADERS_AT[kind];
    if (headersAt !== undefined) {
      const headers = await this.#unpacker.unpack(payload.subarray(headersAt));
      if (kind === FRAME.synStream) await this.#accept(id, headers);
      if ((flags & FLAG_FIN) !== 0) this.#streams.get(id)?.endReading();
    } else if (kind === FRAME.rstStream) this.#streams.get(id)?.resetByPeer();
    // The rest (settings, windows, a peer about to go) changes nothing here.
    else if (kind === FRAME.ping && id % 2 === (this.#role === 'server' ? 1 : 0))
      this.#socket.write(controlFrame(FRAME.ping, 0, words(id)));
  }

  async #accept(id: number, headers: SpdyHeaders): Promise<void> {
    if (id <= this.#lastPeerId || id % 2 !== (this.#role === 'server' ? 1 : 0))
      throw new UmiakError('BadRequest', `SPDY: ${id} is no id for a new stream`);
    this.#lastPeerId = id;
    if (!this.#onStream || this.#streams.size >= MOST_STREAMS) {
      this.#send(controlFrame(FRAME.rstStream, 0, words(id, STATUS.refusedStream)), () => {});
      return;
    }
    const stream = this.#add(id, headers);
    await this.#sendHeaders({}, block => controlFrame(FRAME.synReply, 0, words(id), block));
    this.#onStream(stream);
  }

  #end(): void {
    for (const stream of [...this.#streams.values()]) stream.endWithConnection();
    this.#packer[Symbol.dispose]();
    this.#unpacker[Symbol.dispose]();
  }
}

interface StreamDoor {
  write(payload: Buffer, done: (error?: Error | null) => void): void;
  end(done: (error?: Error | null) => void): void;
  reset(): void;
  gone(): void;
}

/** One byte stream each way, and the headers it was opened with. */
export class SpdyStream extends Duplex {
  readonly headers: SpdyHeaders;
  readonly #door: StreamDoor;
  #emptied: (() => void) | undefined;
  #hasEnded = false;
  #isReset = false;

  constructor(headers: SpdyHeaders, door: StreamDoor) {
    super({ allowHalfOpen: true });
    this.headers = headers;
    this.#door = door;
    // Whoever reads or writes it learns of a broken connection by its close.
    this.on('error', () => {});
  }

  /** The peer's bytes; resolves when there is room for more. */
  async receive(payload: Buffer): Promise<void> {
    if (this.#hasEnded || this.destroyed || this.push(payload)) return;
    await new Promise<void>(resolve => (this.#emptied = resolve));
  }

  /** The peer says no more. */
  endReading(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.push(null);
  }

  /** The stream is over on the peer's word, or with the connection. */
  resetByPeer(): void {
    this.#isReset = true;
    this.endReading();
    this.destroy();
  }

  /** The connection is over. What the peer had said to the end before may still be read. */
  endWithConnection(): void {
    if (this.#hasEnded && this.readableLength > 0) {
      this.#isReset = true;
      this.once('end', () => this.destroy());
    } else this.resetByPeer();
  }

  override _read(): void {
    this.#emptied?.();
    this.#emptied = undefined;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#door.write(chunk, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#door.end(done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this._read();
    if (!this.#isReset && !(this.#hasEnded && this.writableFinished)) this.#door.reset();
    this.#door.gone();
    done(error);
  }
}
