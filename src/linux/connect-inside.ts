import { Socket } from 'node:net';
import { UmiakError } from '#base/errors.ts';
import { check, declare } from './libc.ts';
import { inNamespace } from './namespaces.ts';

const socketCall = declare('int socket(int domain, int type, int protocol)');

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM_NONBLOCK_CLOEXEC = 1 | 0o4000 | 0o2000000;

/** Connects to a port on the loopback of the network namespace at `path`, first by IPv4. @throws `ServiceUnavailable` when nobody listens */
export async function connectInside(path: string, port: number): Promise<Socket> {
  try {
    return await connectBy(path, AF_INET, '127.0.0.1', port);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ECONNREFUSED') throw error;
    return await connectBy(path, AF_INET6, '::1', port).catch(() => {
      throw new UmiakError('ServiceUnavailable', `failed to connect to localhost:${port} inside the pod: connection refused`);
    });
  }
}

/** A socket belongs to the namespace it was made in, whatever connects it later. */
function connectBy(path: string, family: number, host: string, port: number): Promise<Socket> {
  const fd = inNamespace(path, 'net', () => check(socketCall(family, SOCK_STREAM_NONBLOCK_CLOEXEC, 0), 'socket'));
  // Not read before it is connected, which Node would take for a failure.
  const options = { fd, readable: true, writable: true, allowHalfOpen: true, manualStart: true };
  const socket = new Socket(options);
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.connect({ host, port }, () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}
