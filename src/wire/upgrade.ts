import type { Duplex } from 'node:stream';
import { STATUS_CODES } from './http.ts';

/** Answers an upgrade request that is not granted, and closes: a plain HTTP/1.1 response with a short body. */
export function refuseUpgrade(socket: Duplex, status: number, body: string, contentType = 'text/plain; charset=utf-8'): void {
  socket.on('error', () => socket.destroy());
  if (!socket.writable) return void socket.destroy();
  socket.end(
    responseHead(status, { 'Content-Type': contentType, 'Content-Length': String(Buffer.byteLength(body)), Connection: 'close' }) + body,
  );
}

/** The status line and headers of an HTTP/1.1 response, with the empty line after them. Line breaks in values are dropped. */
export function responseHead(status: number, headers: Record<string, string | string[] | undefined>): string {
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    [value ?? []].flat().map(one => `${name}: ${one.replaceAll(/[\r\n]+/g, ' ')}`),
  );
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Unknown'}\r\n${lines.join('\r\n')}\r\n\r\n`;
}
