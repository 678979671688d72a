import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import type { ApiTarget } from './kload.ts';

/** One client on one kept-alive connection, for what kload cannot send: answers are read whole, not parsed. */
export class Connection implements Disposable {
  readonly #agent: Agent;
  readonly #url: string;

  constructor({ url, cert, key }: ApiTarget) {
    this.#url = url;
    // The server is this bench's own child on loopback; a peer's certificate is of its own making.
    this.#agent = new Agent({
      keepAlive: true,
      maxSockets: 1,
      rejectUnauthorized: false,
      cert: readFileSync(cert),
      key: readFileSync(key),
    });
  }

  /** @throws unless the answer is a 2xx */
  async send(method: string, path: string, body?: object, contentType = 'application/json'): Promise<Buffer> {
    const bytes = body && Buffer.from(JSON.stringify(body));
    const headers = bytes ? { 'content-type': contentType, 'content-length': bytes.length } : {};
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    request(`${this.#url}${path}`, { method, headers, agent: this.#agent }, resolve).on('error', reject).end(bytes);
    const answer = await promise;
    const chunks: Buffer[] = [];
    for await (const chunk of answer) chunks.push(chunk);
    const whole = Buffer.concat(chunks);
    if (answer.statusCode === undefined || answer.statusCode >= 300)
      throw new Error(`${method} ${path}: ${answer.statusCode} ${whole.subarray(0, 500)}`);
    return whole;
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}
