import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { UmiakError } from '#base/errors.ts';

export interface AcceptWebSocketOptions {
  /** Spoken here, best first. */
  protocols: readonly string[];
  /** A longer message ends the connection. */
  maxMessageBytes: number;
  /** Whether a client that offers no protocol, or none of these, is taken all the same. */
  isLenient?: boolean;
}

/**
 * Takes an upgrade request's connection over as a WebSocket of the best protocol that both sides speak; `receive` is called before anything
 * of it is read. @throws `BadRequest`, before anything is written, if no protocol is spoken
 */
export async function acceptWebSocket<T>(
  headers: IncomingHttpHeaders,
  socket: Duplex,
  head: Buffer,
  { protocols, maxMessageBytes, isLenient = false }: AcceptWebSocketOptions,
  receive: (webSocket: WebSocket, protocol: string | undefined) => T,
): Promise<T> {
  const offered = new Set(headers['sec-websocket-protocol']?.split(',').map(name => name.trim()));
  const protocol = protocols.find(name => offered.has(name));
  if (!protocol && !isLenient)
    throw new UmiakError('BadRequest', `unable to upgrade: none of the offered subprotocols is spoken here (${protocols.join(', ')})`);
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: maxMessageBytes,
  });
  // Said here, since the library refuses names with a slash in them (`SPDY/3.1+portforward.k8s.io`).
  server.on('headers', lines => protocol && lines.push(`Sec-WebSocket-Protocol: ${protocol}`));
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const gone = () => reject(new UmiakError('BadRequest', 'the client left during the WebSocket handshake'));
  socket.once('close', gone);
  server.on('wsClientError', error => reject(new UmiakError('BadRequest', `unable to upgrade: ${error.message}`)));
  // All that the handshake looks at.
  const { 'sec-websocket-protocol': _offered, ...others } = headers;
  const request = { headers: others, method: 'GET', url: '/' } as IncomingMessage;
  server.handleUpgrade(request, socket, head, webSocket => {
    socket.off('close', gone);
    resolve(receive(webSocket, protocol));
  });
  return await promise;
}
