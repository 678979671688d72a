import type { Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import type { Socket } from 'node:net';

/** Who asks over TCP is forgotten when he is silent for so long. */
const IDLE_MS = 10_000;

/** Makes the response to one message; undefined for what must not be answered. */
export type Responder = (message: Buffer, options: { isTcp: boolean }) => Promise<Buffer | undefined>;

/** Answers what comes to a socket. */
export function serveDnsUdp(socket: UdpSocket, respond: Responder): void {
  socket.on('message', async (message, from) => {
    const response = await respond(message, { isTcp: false });
    if (!response) return;
    try {
      socket.send(response, from.port, from.address, () => {}); // an asker that has gone
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_SOCKET_DGRAM_NOT_RUNNING') throw error; // closed while others were asked
    }
  });
}

/** Answers one connection: one message after another, each after its length in two bytes (RFC 7766). */
export function serveDnsTcp(socket: Socket, respond: Responder): void {
  let received = Buffer.alloc(0);
  let isBusy = false;
  const serve = async () => {
    if (isBusy) return;
    isBusy = true;
    while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
      const end = 2 + received.readUInt16BE(0);
      const message = Buffer.from(received.subarray(2, end));
      received = received.subarray(end);
      const response = await respond(message, { isTcp: true });
      if (!response) return void socket.destroy();
      const length = Buffer.alloc(2);
      length.writeUInt16BE(response.length);
      if (!socket.write(Buffer.concat([length, response]))) await once(socket, 'drain').catch(() => {}); // who doesn't read isn't answered
      if (socket.destroyed) return;
    }
    isBusy = false;
    if (socket.isPaused()) socket.resume();
  };
  socket.setTimeout(IDLE_MS, () => socket.destroy());
  socket.on('error', () => socket.destroy()); // an asker that has gone
  socket.on('data', (data: Buffer) => {
    received = Buffer.concat([received, data]);
    if (received.length > 65537) socket.pause();
    void serve();
  });
}
