import https from 'node:https';
import { isIP } from 'node:net';
import type { WebhookClientConfig } from '#kinds/types.gen.ts';
import type { ServiceResolver } from './service-endpoints.ts';

/** Bytes of an answer that are read at most. */
const MOST_ANSWER_BYTES = 8 << 20;
/** Connections kept to one webhook. */
const MOST_CONNECTIONS = 64;
const IDLE_MS = 90_000;

/** Where a webhook is, ready for calls. */
export interface WebhookTarget {
  url: URL;
  /** The Service behind the URL's name. */
  service?: { namespace: string; name: string; port: number };
  ca: string | undefined;
}

/** The URL that a client configuration names; a Service's is `https://name.namespace.svc:port/path`. */
export function toTarget({ url, service, caBundle }: WebhookClientConfig, timeoutSeconds: number): WebhookTarget {
  const ca = caBundle ? Buffer.from(caBundle, 'base64').toString() : undefined;
  const { namespace = '', name = '', port = 443, path = '' } = service ?? {};
  const target = new URL(service ? `https://${name}.${namespace}.svc:${port}${path || '/'}` : (url ?? ''));
  target.searchParams.set('timeout', `${timeoutSeconds}s`);
  return { url: target, ca, ...(service && { service: { namespace, name, port } }) };
}

/** Posts JSON to webhooks over verified TLS; connections are kept and shared by all calls. */
export class WebhookCaller implements Disposable {
  readonly #agent = new https.Agent({ keepAlive: true, maxSockets: MOST_CONNECTIONS, timeout: IDLE_MS, scheduling: 'lifo' });
  readonly #resolve: ServiceResolver;

  constructor(resolve: ServiceResolver) {
    this.#resolve = resolve;
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }

  /** The answer's JSON value. @throws Error that says what failed, with the URL */
  async post(target: WebhookTarget, body: unknown, timeoutMs: number): Promise<unknown> {
    try {
      const text = await this.#exchangeOnLive(target, Buffer.from(JSON.stringify(body)), timeoutMs);
      return JSON.parse(text) as unknown;
    } catch (error) {
      throw new Error(`failed to call webhook: Post "${shown(target)}": ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
    }
  }

  /** A kept connection that the other side closes just then is not its refusal: the call is made once more. */
  async #exchangeOnLive(target: WebhookTarget, body: Buffer, timeoutMs: number): Promise<string> {
    try {
      return await this.#exchange(target, body, timeoutMs);
    } catch (error) {
      if (error instanceof StaleConnection) return await this.#exchange(target, body, timeoutMs);
      throw error;
    }
  }

  async #exchange({ url, service, ca }: WebhookTarget, body: Buffer, timeoutMs: number): Promise<string> {
    const hostname = url.hostname.replace(/^\[|\]$/g, '');
    const address = service
      ? this.#resolve(service.namespace, service.name, service.port)
      : { host: hostname, port: Number(url.port || 443) };
    return await new Promise<string>((resolve, reject) => {
      const request = https.request({
        agent: this.#agent,
        host: address.host,
        port: address.port,
        path: `${url.pathname}${url.search}`,
        method: 'POST',
        // An address has no SNI, and is verified as the address that it is.
        ...(isIP(hostname) === 0 && { servername: hostname }),
        // As Go's clients do, a bundle may trust the webhook's own certificate, whoever signed it.
        ...(ca !== undefined && { ca, allowPartialTrustChain: true }),
        headers: { host: url.host, 'content-type': 'application/json', accept: 'application/json, */*', 'content-length': body.length },
      });
      const deadline = setTimeout(() => request.destroy(new Error('context deadline exceeded')), timeoutMs);
      const fail = (error: NodeJS.ErrnoException) => {
        clearTimeout(deadline);
        const isStale = request.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
        reject(isStale ? new StaleConnection(error.message, { cause: error }) : error);
      };
      request.on('error', fail);
      request.on('response', response => {
        const parts: Buffer[] = [];
        let size = 0;
        response.on('error', fail);
        response.on('data', (part: Buffer) => {
          size += part.length;
          if (size > MOST_ANSWER_BYTES) request.destroy(new Error(`the response is larger than ${MOST_ANSWER_BYTES} bytes`));
          else parts.push(part);
        });
        response.on('end', () => {
          clearTimeout(deadline);
          const { statusCode = 0 } = response;
          const text = Buffer.concat(parts).toString();
          if (statusCode >= 200 && statusCode < 300) resolve(text);
          else if (statusCode === 404) reject(new Error('the server could not find the requested resource'));
          else
            reject(
              new Error(
                `an error on the server ("${text.slice(0, 512).trim() || 'unknown'}") has prevented the request from succeeding (${statusCode})`,
              ),
            );
        });
      });
      request.end(body);
    });
  }
}

function shown({ url, service }: WebhookTarget): string {
  return service ? url.href.replace(`//${url.host}/`, `//${url.hostname}:${service.port}/`) : url.href;
}

/** A connection from earlier ended before it brought anything. */
class StaleConnection extends Error {}
