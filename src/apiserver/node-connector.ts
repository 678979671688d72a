import type { IncomingHttpHeaders } from 'node:http';
import type { Duplex } from 'node:stream';

/**
 * The way from the API server to a node's HTTPS API: declared here, injected by `main`. Direct today; a tunnel that the
 * agent dials, for machines behind NAT, later.
 */
export interface NodeConnector extends AsyncDisposable {
  /** One request to the node's API. The answer's body streams; aborting `signal` closes it. @throws `ServiceUnavailable` when the node can't be reached. */
  request(
    node: string,
    request: { method: string; path: string; headers?: Record<string, string>; body?: Buffer; signal?: AbortSignal },
  ): Promise<{ status: number; headers: IncomingHttpHeaders; body: NodeJS.ReadableStream }>;
  /** Asks for a protocol upgrade and returns the raw connection after the 101 (or the node's refusal). */
  upgrade(
    node: string,
    request: { path: string; headers: Record<string, string>; signal?: AbortSignal },
  ): Promise<{ status: number; headers: IncomingHttpHeaders; stream: Duplex; head: Buffer }>;
}
