import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import { openSpdyChannels, SPDY_CHANNEL_PROTOCOLS } from '#wire/spdy/channels.ts';
import { acceptSpdy, acceptSpdyTunnel, isSpdy } from '#wire/spdy/upgrade.ts';
import { acceptChannels } from '#wire/websocket-channels.ts';
import type { Engine } from '../engine.ts';
import { readPorts, servePortChannels, wantsPortChannels } from './port-channels.ts';
import { type DialPod, PORT_FORWARD_PROTOCOLS, servePortForward } from './port-forward.ts';
import { type AskedSession, serveSession, streamsOf } from './session.ts';

/** An upgrade request with its connection, as `node:http` hands it over. */
export interface Upgrade {
  request: IncomingMessage;
  socket: Duplex;
  head: Buffer;
  clock?: Clock | undefined;
}

/** Serves an exec or attach to its end, over WebSocket or SPDY, whichever is asked for. @throws `BadRequest`, before anything is written */
export async function serveSessionUpgrade(
  engine: Pick<Engine, 'exec' | 'attach'>,
  asked: AskedSession,
  { request, socket, head, clock }: Upgrade,
): Promise<void> {
  if (!isSpdy(request)) return await serveSession(engine, asked, await acceptChannels(request, socket, head));
  acceptSpdy(request, socket, SPDY_CHANNEL_PROTOCOLS);
  await serveSession(engine, asked, await openSpdyChannels(socket, head, streamsOf(asked.wanted), clock));
}

/**
 * Serves a port-forward until the client goes: over SPDY, SPDY inside a WebSocket, or a WebSocket with channels for each of `ports`, which
 * the other two name as they go. @throws `BadRequest`, before anything is written
 */
export async function serveForwardUpgrade(
  dial: DialPod,
  ports: readonly string[],
  { request, socket, head, clock }: Upgrade,
): Promise<void> {
  if (wantsPortChannels(request)) return await servePortChannels(dial, readPorts(ports), request, socket, head, clock);
  if (!isSpdy(request))
    return await servePortForward(dial, await acceptSpdyTunnel(request, socket, head, PORT_FORWARD_PROTOCOLS), Buffer.alloc(0), clock);
  acceptSpdy(request, socket, PORT_FORWARD_PROTOCOLS);
  await servePortForward(dial, socket, head, clock);
}
