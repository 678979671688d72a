import { connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { connect } from 'node:net';

/** For tests: a request as no client of ours would send it, and what comes back, trailers among the headers. */
export function rawCall(
  socketPath: string,
  headers: Record<string, string>,
  body: Buffer,
): Promise<{ headers: IncomingHttpHeaders; data: Buffer }> {
  const session = connectHttp2('http://localhost', { createConnection: () => connect(socketPath) });
  return new Promise((resolve, reject) => {
    const answer = { headers: {} as IncomingHttpHeaders, data: Buffer.alloc(0) };
    session.on('error', reject);
    const stream = session.request({ ':method': 'POST', 'content-type': 'application/grpc', ...headers });
    stream.on('response', more => Object.assign(answer.headers, more));
    stream.on('trailers', more => Object.assign(answer.headers, more));
    stream.on('data', (chunk: Buffer) => {
      answer.data = Buffer.concat([answer.data, chunk]);
    });
    stream.on('error', reject);
    stream.on('close', () => {
      session.destroy();
      resolve(answer);
    });
    stream.end(body);
  });
}
