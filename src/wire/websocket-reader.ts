import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createWebSocketStream, WebSocketServer } from 'ws';

/** One way only: what is read comes as it is in binary messages, or as base64 in text messages. */
const READER_PROTOCOLS = ['binary.k8s.io', 'base64.binary.k8s.io'];

/** Grants a WebSocket upgrade whose only use is to read `body`; closes at its end. Resolves when the client has gone. */
export async function sendInWebSocket(headers: IncomingHttpHeaders, socket: Duplex, head: Buffer, body: Readable): Promise<void> {
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: 1 << 10,
    handleProtocols: offered => READER_PROTOCOLS.find(name => offered.has(name)) ?? false,
  });
  const closed = new Promise<void>(resolve => (socket.closed ? resolve() : socket.once('close', () => resolve())));
  socket.once('close', () => body.destroy());
  server.on('wsClientError', () => socket.destroy());
  // All that the handshake looks at.
  const request = { headers, method: 'GET', url: '/' } as IncomingMessage;
  server.handleUpgrade(request, socket, head, webSocket => {
    const isText = webSocket.protocol === 'base64.binary.k8s.io';
    const stream = createWebSocketStream(webSocket, isText ? { encoding: 'utf8', decodeStrings: false } : {});
    stream.resume();
    stream.on('error', () => {});
    const source = isText ? body.map(chunk => Buffer.from(chunk).toString('base64')) : body;
    void pipeline(source, stream).catch(() => webSocket.terminate());
  });
  await closed;
}
