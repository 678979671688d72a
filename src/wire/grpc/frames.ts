import { GrpcError } from './status.ts';

/** A compressed flag and the length of the message. */
export const FRAME_HEADER_BYTES = 5;
/** The largest message that is taken in, as the kubelet and containerd have it. */
export const MAX_MESSAGE_BYTES = 16 << 20;

/** A message with its prefix, ready to send. @throws `RESOURCE_EXHAUSTED` */
export function toFrame(message: Uint8Array, maxBytes = MAX_MESSAGE_BYTES): Buffer {
  if (message.length > maxBytes)
    throw new GrpcError('RESOURCE_EXHAUSTED', `grpc: the message has ${message.length} bytes, ${maxBytes} are the most`);
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + message.length);
  frame[0] = 0;
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, FRAME_HEADER_BYTES);
  return frame;
}

/** Cuts a stream of bytes into messages. */
export class FrameReader {
  readonly #maxBytes: number;
  #chunks: Buffer[] = [];
  #size = 0;
  /** Of the message that is coming in, once its prefix is here. */
  #length: number | undefined;

  constructor(maxBytes = MAX_MESSAGE_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** True between messages. */
  get isAtBoundary(): boolean {
    return this.#size === 0 && this.#length === undefined;
  }

  /** The messages that are whole with this chunk. @throws `UNIMPLEMENTED` for compressed ones, `RESOURCE_EXHAUSTED` for too long ones */
  push(chunk: Buffer): Buffer[] {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    const messages: Buffer[] = [];
    for (;;) {
      if (this.#length === undefined) {
        if (this.#size < FRAME_HEADER_BYTES) return messages;
        this.#length = this.#head(this.#take(FRAME_HEADER_BYTES));
      }
      if (this.#size < this.#length) return messages;
      messages.push(this.#take(this.#length));
      this.#length = undefined;
    }
  }

  #head(head: Buffer): number {
    if (head[0] !== 0) throw new GrpcError('UNIMPLEMENTED', 'grpc: compressed messages are not supported here; send identity encoding');
    const length = head.readUInt32BE(1);
    if (length > this.#maxBytes)
      throw new GrpcError('RESOURCE_EXHAUSTED', `grpc: received message larger than max (${length} vs. ${this.#maxBytes})`);
    return length;
  }

  #take(bytes: number): Buffer {
    const [first] = this.#chunks;
    if (first && first.length >= bytes) {
      this.#size -= bytes;
      if (first.length === bytes) this.#chunks.shift();
      else this.#chunks[0] = first.subarray(bytes);
      return first.subarray(0, bytes);
    }
    if (bytes === 0) return Buffer.alloc(0);
    const whole = Buffer.concat(this.#chunks, this.#size);
    this.#size -= bytes;
    this.#chunks = this.#size > 0 ? [whole.subarray(bytes)] : [];
    return whole.subarray(0, bytes);
  }
}
