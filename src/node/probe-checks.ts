import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import type { ContainerSpec } from './parts.ts';

type Probe = NonNullable<ContainerSpec['livenessProbe']>;
type HttpGet = NonNullable<Probe['httpGet']>;
type TcpSocket = NonNullable<Probe['tcpSocket']>;

export interface CheckResult {
  ok: boolean;
  message: string;
}

const MOST_BODY_BYTES = 10 * 1024;

/** GETs; 200 to 399 is well. Certificates are not looked at, as the kubelet doesn't. */
export function httpProbe(
  { path = '/', port, host, scheme, httpHeaders = [] }: HttpGet,
  container: ContainerSpec,
  address: string,
  timeoutMs: number,
): Promise<CheckResult> {
  const number = portNumber(container, port);
  if (number === undefined) return Promise.resolve({ ok: false, message: `the container has no port ${JSON.stringify(port)}` });
  const { promise, resolve } = Promise.withResolvers<CheckResult>();
  const headers: Record<string, string> = { 'user-agent': 'kube-probe/1.36', accept: '*/*', connection: 'close' };
  for (const header of httpHeaders) headers[header.name.toLowerCase()] = header.value;
  const send = scheme === 'HTTPS' ? httpsRequest : httpRequest;
  const url = `${scheme === 'HTTPS' ? 'https' : 'http'}://${host || address}:${number}${path.startsWith('/') ? path : `/${path}`}`;
  const request = send(
    {
      host: host || address,
      port: number,
      path: path.startsWith('/') ? path : `/${path}`,
      headers,
      agent: false,
      rejectUnauthorized: false,
      signal: AbortSignal.timeout(timeoutMs),
    },
    response => {
      const status = response.statusCode ?? 0;
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        if (body.length < MOST_BODY_BYTES) body += chunk;
        else response.destroy();
      });
      response.on('error', () => {});
      response.on('close', () =>
        resolve({
          ok: status >= 200 && status < 400,
          message: status >= 200 && status < 400 ? body : `HTTP probe failed with statuscode: ${status}`,
        }),
      );
    },
  );
  request.on('error', error => resolve({ ok: false, message: `Get "${url}": ${reasonOf(error)}` }));
  request.end();
  return promise;
}

/** Connects; whoever accepts is well. */
export function tcpProbe({ port, host }: TcpSocket, container: ContainerSpec, address: string, timeoutMs: number): Promise<CheckResult> {
  const number = portNumber(container, port);
  if (number === undefined) return Promise.resolve({ ok: false, message: `the container has no port ${JSON.stringify(port)}` });
  const { promise, resolve } = Promise.withResolvers<CheckResult>();
  const socket = connect({ host: host || address, port: number, signal: AbortSignal.timeout(timeoutMs) });
  const end = (ok: boolean, message: string) => {
    socket.destroy();
    resolve({ ok, message });
  };
  socket.once('connect', () => end(true, ''));
  socket.once('error', error => end(false, `dial tcp ${host || address}:${number}: ${reasonOf(error)}`));
  return promise;
}

function reasonOf(error: Error): string {
  return error.name === 'AbortError' || error.name === 'TimeoutError' ? 'context deadline exceeded' : error.message;
}

function portNumber({ ports = [] }: ContainerSpec, port: string | number): number | undefined {
  return typeof port === 'number'
    ? port
    : (ports.find(({ name }) => name === port)?.containerPort ?? (/^\d+$/.test(port) ? Number(port) : undefined));
}
