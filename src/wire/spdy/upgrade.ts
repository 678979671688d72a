import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { createWebSocketStream } from 'ws';
import { UmiakError } from '#base/errors.ts';
import { responseHead } from '../upgrade.ts';
import { acceptWebSocket } from '../websocket-accept.ts';

export const SPDY = 'SPDY/3.1';
const VERSION_HEADER = 'x-stream-protocol-version';
/** Before the name of the protocol, among a WebSocket's: the messages are the bytes of a SPDY connection. */
const TUNNEL = `${SPDY}+`;
const MAX_MESSAGE_BYTES = 4 << 20;

export function isSpdy({ headers }: Pick<IncomingMessage, 'headers'>): boolean {
  return headers.upgrade?.toLowerCase() === SPDY.toLowerCase();
}

/** The first of our protocols that the client offers. */
function choose(offered: string | string[] | undefined, spoken: readonly string[]): string | undefined {
  const names = new Set([offered ?? []].flat().flatMap(line => line.split(',').map(name => name.trim())));
  return spoken.find(name => names.has(name));
}

/**
 * Takes the connection of a SPDY upgrade over: what is left of it is the SPDY connection's. Who offers no protocol gets none, as older
 * clients expect. @throws `BadRequest`, before anything is written, if none of those offered is spoken
 */
export function acceptSpdy({ headers }: IncomingMessage, socket: Duplex, spoken: readonly string[]): string | undefined {
  const offered = headers[VERSION_HEADER];
  const protocol = choose(offered, spoken);
  if (offered !== undefined && protocol === undefined)
    throw new UmiakError('BadRequest', `unable to upgrade: none of the offered protocols is spoken here (${spoken.join(', ')})`);
  socket.write(responseHead(101, { Connection: 'Upgrade', Upgrade: SPDY, ...(protocol ? { 'X-Stream-Protocol-Version': protocol } : {}) }));
  return protocol;
}

/** The same for SPDY inside a WebSocket: gives the connection within. @throws `BadRequest` */
export async function acceptSpdyTunnel(request: IncomingMessage, socket: Duplex, head: Buffer, spoken: readonly string[]): Promise<Duplex> {
  const protocols = spoken.map(name => `${TUNNEL}${name}`);
  return await acceptWebSocket(request.headers, socket, head, { protocols, maxMessageBytes: MAX_MESSAGE_BYTES }, webSocket => {
    // When reading is paused the WebSocket does not see its connection end.
    socket.once('close', () => webSocket.terminate());
    return createWebSocketStream(webSocket);
  });
}
