import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect, isIPv6 } from 'node:net';
import { request as httpRequest } from '#wire/http.ts';
import type { ContainerSpec } from './parts.ts';

type Probe = NonNullable<ContainerSpec['livenessProbe']>;
type HttpGet = NonNullable<Probe['httpGet']>;
type TcpSocket = NonNullable<Probe['tcpSocket']>;

/** How one try of a probe or hook went. */
export interface CheckResult {
  ok: boolean;
  message: string;
  /** `warning`: well, but odd. `error`: it could not even be tried, so that nothing was learned. */
  note?: 'warning' | 'error';
}

/** Of answers and outputs, no more is read. */
export const MOST_OUTPUT_BYTES = 10 * 1024;
const MOST_REQUESTS = 10;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/**
 * GETs; 200 to 399 is well. Redirects are followed on the same host only; one that leads elsewhere counts, with a warning. Certificates
 * are not looked at, as the kubelet doesn't. `address` serves unless the probe names a host; `within` is in milliseconds, or aborts when time
 * is up.
 */
export async function httpProbe(
  get: HttpGet,
  container: ContainerSpec,
  address: string,
  within: number | AbortSignal,
): Promise<CheckResult> {
  const signal = toSignal(within);
  const port = portNumber(container, get.port);
  if (port === undefined) return noPort(get.port);
  const { path = '/', scheme = 'HTTP' } = get;
  const asked = `${scheme.toLowerCase()}://${bracketed(get.host || address)}:${port}${/^[/?]/.test(path) ? path : `/${path}`}`;
  const first = URL.parse(asked);
  if (!first) return { ok: false, note: 'error', message: `${JSON.stringify(asked)} is no URL` };
  const headers = requestHeaders(get.httpHeaders);
  const failed = (why: string): CheckResult => ({ ok: false, message: `Get ${JSON.stringify(asked)}: ${why}` });
  let url = first;
  try {
    for (let requests = 1; ; requests++) {
      const response = await send(url, headers, signal);
      const { statusCode = 0, headers: answered } = response;
      const next = REDIRECTS.has(statusCode) && answered.location ? URL.parse(answered.location, url.href) : null;
      if (next?.hostname !== first.hostname) return judge(statusCode, await readBounded(response));
      response.destroy();
      if (requests === MOST_REQUESTS) return failed(`stopped after ${MOST_REQUESTS} redirects`);
      url = next;
    }
  } catch (error) {
    if (signal.aborted) return failed('context deadline exceeded (Client.Timeout exceeded while awaiting headers)');
    return failed(inGoWords(error as NodeJS.ErrnoException, url.hostname, Number(url.port) || port));
  }
}

/** Connects; whoever accepts is well. */
export function tcpProbe(
  { port, host }: TcpSocket,
  container: ContainerSpec,
  address: string,
  within: number | AbortSignal,
): Promise<CheckResult> {
  const signal = toSignal(within);
  const number = portNumber(container, port);
  if (number === undefined) return Promise.resolve(noPort(port));
  const target = host || address;
  return new Promise(resolve => {
    const socket = connect({ host: target, port: number, signal });
    socket.once('connect', () => {
      socket.destroy();
      resolve({ ok: true, message: '' });
    });
    // Stays: what comes after the first is of no interest.
    socket.on('error', (error: NodeJS.ErrnoException) => {
      const why = signal.aborted ? `dial tcp ${bracketed(target)}:${number}: i/o timeout` : inGoWords(error, target, number);
      resolve({ ok: false, message: why });
    });
  });
}

/** A port by number, by its name in the container's spec, or a number written as text. */
export function portNumber({ ports = [] }: ContainerSpec, port: string | number): number | undefined {
  const named = typeof port === 'number' ? port : (ports.find(({ name }) => name === port)?.containerPort ?? Number(port || Number.NaN));
  return Number.isInteger(named) && named > 0 && named < 65_536 ? named : undefined;
}

function toSignal(within: number | AbortSignal): AbortSignal {
  return typeof within === 'number' ? AbortSignal.timeout(within) : within;
}

function noPort(port: string | number): CheckResult {
  return { ok: false, note: 'error', message: `the container has no port ${JSON.stringify(port)}` };
}

function judge(status: number, body: string): CheckResult {
  if (status < 200 || status >= 400) return { ok: false, message: `HTTP probe failed with statuscode: ${status}` };
  if (status >= 300) return { ok: true, note: 'warning', message: `Probe terminated redirects, Response body: ${body}` };
  return { ok: true, message: body };
}

/** The probe's headers over the kubelet's own; an `Accept` that is set to nothing is not sent. */
function requestHeaders(wanted: HttpGet['httpHeaders'] = []): Record<string, string | string[]> {
  const headers = new Map<string, { name: string; values: string[] }>();
  for (const { name, value } of wanted) {
    const known = headers.get(name.toLowerCase());
    if (known) known.values.push(value);
    else headers.set(name.toLowerCase(), { name, values: [value] });
  }
  if (!headers.has('user-agent')) headers.set('user-agent', { name: 'User-Agent', values: ['kube-probe/1.36'] });
  if (!headers.has('accept')) headers.set('accept', { name: 'Accept', values: ['*/*'] });
  else if (!headers.get('accept')?.values[0]) headers.delete('accept');
  return Object.fromEntries(
    [...headers.values()].map(({ name, values: [one = '', ...more] }) => [name, more.length ? [one, ...more] : one]),
  );
}

function send(url: URL, headers: Record<string, string | string[]>, signal: AbortSignal): Promise<IncomingMessage> {
  const make = url.protocol === 'https:' ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const request = make(url, { headers, agent: false, rejectUnauthorized: false, signal }, resolve);
    request.on('error', reject);
    request.end();
  });
}

async function readBounded(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk.subarray(0, MOST_OUTPUT_BYTES - size));
    size += chunk.length;
    if (size >= MOST_OUTPUT_BYTES) break;
  }
  return Buffer.concat(chunks).toString();
}

const SAID_BY_GO: Record<string, string> = {
  ECONNREFUSED: 'connect: connection refused',
  EHOSTUNREACH: 'connect: no route to host',
  ENETUNREACH: 'connect: network is unreachable',
  ETIMEDOUT: 'connect: connection timed out',
};

/** Why a connection failed, as people know it from kubelets. */
function inGoWords({ code = '', message }: NodeJS.ErrnoException, host: string, port: number): string {
  const known = SAID_BY_GO[code];
  if (known) return `dial tcp ${bracketed(host)}:${port}: ${known}`;
  if (code === 'ENOTFOUND') return `dial tcp: lookup ${host}: no such host`;
  if (code === 'ECONNRESET') return message === 'socket hang up' ? 'EOF' : 'read: connection reset by peer';
  return message || code;
}

function bracketed(host: string): string {
  return isIPv6(host) ? `[${host}]` : host;
}
