import { PassThrough, type Readable, type Writable } from 'node:stream';
import type { SeqpacketSocket } from '#linux/seqpacket.ts';
import type { StreamSession } from './engine.ts';

/** The first byte of conmon's packets. */
const STDOUT = 2;
const STDERR = 3;

export interface AttachOptions {
  socket: SeqpacketSocket;
  terminal: boolean;
  /** Whether the container has a stdin and the caller wants it. */
  stdin: boolean;
  resize(size: { rows: number; columns: number }): void;
}

/** A container's streams through its monitor's attach socket. Closing it detaches. */
export function openAttach({ socket, terminal, stdin, resize }: AttachOptions): StreamSession {
  const stdout = new PassThrough();
  const stderr = terminal ? undefined : new PassThrough();
  const close = () => {
    socket.destroy();
    stdout.end();
    stderr?.end();
  };
  void distribute(socket, stdout, stderr).then(close, close);
  stdout.on('close', () => socket.destroy());
  const session: StreamSession & { stdin?: Writable; stderr?: Readable } = { stdout, resize, close };
  if (stderr) session.stderr = stderr;
  if (stdin) {
    socket.on('error', () => {}); // the container ended while somebody still wrote
    session.stdin = socket;
  }
  return session;
}

async function distribute(socket: SeqpacketSocket, stdout: PassThrough, stderr: PassThrough | undefined): Promise<void> {
  for await (const packet of socket as AsyncIterable<Buffer>) {
    const target = packet[0] === STDERR ? (stderr ?? stdout) : packet[0] === STDOUT ? stdout : undefined;
    if (target && !target.destroyed && !target.write(packet.subarray(1))) await drained(target);
  }
}

async function drained(target: PassThrough): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  target.once('drain', resolve);
  target.once('close', resolve);
  await promise;
  target.off('drain', resolve);
  target.off('close', resolve);
}
