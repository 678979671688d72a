import type { IncomingHttpHeaders } from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createWebSocketStream } from 'ws';
import { acceptWebSocket } from './websocket-accept.ts';

/** One way only: what is read comes as it is in binary messages, or as base64 in text messages. */
const READER_PROTOCOLS = ['binary.k8s.io', 'base64.binary.k8s.io'];

/** Grants a WebSocket upgrade whose only use is to read `body`; closes at its end. Resolves when the client has gone. */
export async function sendInWebSocket(headers: IncomingHttpHeaders, socket: Duplex, head: Buffer, body: Readable): Promise<void> {
  const closed = new Promise<void>(resolve => (socket.closed ? resolve() : socket.once('close', () => resolve())));
  socket.once('close', () => body.destroy());
  const options = { protocols: READER_PROTOCOLS, maxMessageBytes: 1 << 10, isLenient: true };
  await acceptWebSocket(headers, socket, head, options, (webSocket, protocol) => {
    const isText = protocol === 'base64.binary.k8s.io';
    const stream = createWebSocketStream(webSocket, isText ? { encoding: 'utf8', decodeStrings: false } : {});
    stream.resume();
    stream.on('error', () => {});
    const source = isText ? body.map(chunk => Buffer.from(chunk).toString('base64')) : body;
    void pipeline(source, stream).catch(() => webSocket.terminate());
  });
  await closed;
}
