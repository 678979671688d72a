import { closeSync } from 'node:fs';
import { bytesOfIp } from '#base/ip-address.ts';
import { check, declare, SyscallError } from './libc.ts';

const socketCall = declare('int socket(int domain, int type, int protocol)');
const bindCall = declare('int bind(int fd, const void *address, unsigned int length)');
const setsockoptCall = declare('int setsockopt(int fd, int level, int name, const void *value, unsigned int length)');

const AF_INET = 2;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK_CLOEXEC = 0o4000 | 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const EADDRINUSE = 98;

/**
 * A socket bound to an IPv4 address in the network namespace that the calling thread is in, for Node to take over (`{ fd }`) from whichever
 * namespace it works in. When the port is taken, any other one.
 */
export function bindSocket(kind: 'udp' | 'tcp', address: string, port: number): number {
  const fd = check(socketCall(AF_INET, (kind === 'tcp' ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK_CLOEXEC, 0), 'socket');
  try {
    if (kind === 'tcp') check(setsockoptCall(fd, SOL_SOCKET, SO_REUSEADDR, Buffer.from([1, 0, 0, 0]), 4), 'setsockopt');
    try {
      bind(fd, address, port);
    } catch (error) {
      if (!(error instanceof SyscallError) || error.errno !== EADDRINUSE) throw error;
      bind(fd, address, 0);
    }
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function bind(fd: number, address: string, port: number): void {
  const name = Buffer.alloc(16);
  name.writeUInt16LE(AF_INET, 0);
  name.writeUInt16BE(port, 2);
  bytesOfIp(address).copy(name, 4);
  check(bindCall(fd, name, name.length), `bind ${address}:${port}`);
}
