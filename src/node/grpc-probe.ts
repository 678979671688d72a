import { type ClientHttp2Session, connect, constants, type IncomingHttpHeaders } from 'node:http2';
import { messageOf } from '#base/errors.ts';
import type { ContainerSpec } from './parts.ts';
import type { CheckResult } from './probe-checks.ts';

type Grpc = NonNullable<NonNullable<ContainerSpec['livenessProbe']>['grpc']>;

/** Field 1, a varint. */
const STATUS_TAG = 0x08;
const SERVING = 1;
const STATUSES = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];
const UNIMPLEMENTED = '12';
/** An answer is two bytes; whoever sends more is not asked about it. */
const MOST_ANSWER_BYTES = 4096;
/** A compressed flag and the length of the message. */
const FRAME_HEADER_BYTES = 5;

/** Asks `grpc.health.v1.Health/Check` in plain HTTP/2; `SERVING` is well. Never throws; ends when `signal` does. */
export function grpcProbe({ port, service }: Grpc, address: string, signal: AbortSignal): Promise<CheckResult> {
  const target = `${address}:${port}`;
  return new Promise(resolve => {
    const session = connect(`http://${target}`);
    const finish = (result: CheckResult) => {
      signal.removeEventListener('abort', expire);
      session.destroy();
      resolve(result);
    };
    const expire = () =>
      finish({ ok: false, message: `timeout: failed to connect service "${target}" within its time: context deadline exceeded` });
    if (signal.aborted) return expire();
    signal.addEventListener('abort', expire, { once: true });
    session.on('error', error => finish({ ok: false, message: `error: failed to connect service at "${target}": ${messageOf(error)}` }));
    session.once('connect', () => ask(session, service ?? '', finish));
  });
}

function ask(session: ClientHttp2Session, service: string, finish: (result: CheckResult) => void): void {
  const stream = session.request({
    [constants.HTTP2_HEADER_METHOD]: 'POST',
    [constants.HTTP2_HEADER_PATH]: '/grpc.health.v1.Health/Check',
    'content-type': 'application/grpc',
    te: 'trailers',
    'user-agent': 'kube-probe/1.36',
  });
  const chunks: Buffer[] = [];
  let size = 0;
  let status: IncomingHttpHeaders = {};
  const note = (headers: IncomingHttpHeaders) => {
    status = { ...status, ...headers };
  };
  stream.on('error', error => finish({ ok: false, message: `error: health rpc failed: ${messageOf(error)}` }));
  stream.on('response', note);
  stream.on('trailers', note);
  stream.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > MOST_ANSWER_BYTES) finish({ ok: false, message: 'error: health rpc failed: the answer is too long' });
    else chunks.push(chunk);
  });
  stream.on('end', () => finish(judge(status, Buffer.concat(chunks))));
  stream.end(checkRequest(service));
}

/** `HealthCheckRequest { string service = 1 }` in gRPC's frame. */
function checkRequest(service: string): Buffer {
  const name = Buffer.from(service).subarray(0, 127);
  const message = name.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0x0a, name.length]), name]);
  const frame = Buffer.alloc(FRAME_HEADER_BYTES);
  frame.writeUInt32BE(message.length, 1);
  return Buffer.concat([frame, message]);
}

/** Reads `HealthCheckResponse { ServingStatus status = 1 }` or why there is none. */
function judge(headers: IncomingHttpHeaders, body: Buffer): CheckResult {
  const code = headers['grpc-status'];
  const why = decodeURIComponentSafely(String(headers['grpc-message'] ?? ''));
  if (code === UNIMPLEMENTED)
    return { ok: false, message: `error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ${why}` };
  if (code !== '0') return { ok: false, message: `error: health rpc failed: rpc error: code = ${String(code ?? 'unknown')} desc = ${why}` };
  const status = readStatus(body);
  if (status === SERVING) return { ok: true, message: 'service healthy' };
  return { ok: false, message: `service unhealthy (responded with "${STATUSES[status] ?? status}")` };
}

/** The message is its one field's tag and value, or nothing at all for 0. */
function readStatus(body: Buffer): number {
  const [tag, value = 0] = body.subarray(FRAME_HEADER_BYTES);
  return tag === STATUS_TAG ? value : 0;
}

function decodeURIComponentSafely(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
