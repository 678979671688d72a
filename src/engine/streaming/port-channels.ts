import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Clock, messageOf, systemClock, UmiakError } from '#base/index.ts';
import { ChannelMux, MAX_MESSAGE_BYTES } from '#wire/channel-mux.ts';
import { acceptWebSocket } from '#wire/websocket-accept.ts';
import type { DialPod } from './port-forward.ts';

/** What clients in other languages than Go speak: one connection to each port, all in one WebSocket. */
const PROTOCOLS = ['v4.channel.k8s.io'];
const MOST_PORTS = 100;

/** The ports that were asked for, as words of a query, several in one word too. @throws `BadRequest` in the kubelet's words */
export function readPorts(asked: readonly string[]): number[] {
  const words = asked.flatMap(word => word.split(','));
  if (words.length === 0) throw new UmiakError('BadRequest', 'query parameter "port" is required');
  if (words.length > MOST_PORTS) throw new UmiakError('BadRequest', `at most ${MOST_PORTS} ports can be forwarded at once`);
  return words.map(word => {
    if (/^\d{1,5}$/.test(word) && Number(word) > 0 && Number(word) < 65_536) return Number(word);
    throw new UmiakError('BadRequest', `unable to parse ${JSON.stringify(word.slice(0, 40))} as a port`);
  });
}

/** Whether a WebSocket is asked for in which each port has channels of its own. */
export function wantsPortChannels({ headers }: IncomingMessage): boolean {
  const offered = headers['sec-websocket-protocol']?.split(',').map(name => name.trim()) ?? [];
  return offered.some(name => PROTOCOLS.includes(name));
}

/**
 * Serves a port-forward with two channels a port, for data and for what goes wrong; each begins with the port's number. It is over when all
 * connections are, or the client goes.
 */
export async function servePortChannels(
  dial: DialPod,
  ports: readonly number[],
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  clock: Clock = systemClock,
): Promise<void> {
  const options = { protocols: PROTOCOLS, maxMessageBytes: MAX_MESSAGE_BYTES };
  const mux = await acceptWebSocket(request.headers, socket, head, options, webSocket => {
    // When reading is paused the WebSocket does not see its connection end.
    socket.once('close', () => webSocket.terminate());
    return new ChannelMux(webSocket, { clock, readable: ports.map((_port, i) => 2 * i) });
  });
  void Promise.all(ports.map((port, i) => forward(dial, mux, port, 2 * i))).then(() => mux.close());
  await mux.closed;
}

async function forward(dial: DialPod, mux: ChannelMux, port: number, channel: number): Promise<void> {
  const input = mux.readable(channel);
  const tell = (error: unknown) => mux.send(channel + 1, `error forwarding port ${port} to pod: ${messageOf(error)}`).catch(() => {});
  try {
    const number = Buffer.alloc(2);
    number.writeUInt16LE(port);
    await Promise.all([mux.send(channel, number), mux.send(channel + 1, number)]);
    const target = await dial(port);
    // A client can't say that it has said all: the pod's end is the end.
    const said = pipeline(input, target).catch(() => {});
    await pipeline(target, mux.writable(channel));
    target.destroy();
    await said;
  } catch (error) {
    input.resume();
    await tell(error);
  }
}
