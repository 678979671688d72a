import { closeSync } from 'node:fs';
import { check, declare, errno, SyscallError } from './libc.ts';
import { AF_UNIX, withUnixAddress } from './unix-address.ts';

const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const EAGAIN = 11;
const ENOBUFS = 105;

const socketCall = declare('int socket(int family, int type, int protocol)');
const connectCall = declare('int connect(int fd, const void *address, uint32_t length)');
const sendCall = declare('long send(int fd, const void *buffer, size_t length, int flags)');

/** A unix datagram socket, which Node does not have, to send to one address. */
export class UnixDatagramSocket implements Disposable {
  readonly #fd: number;

  /** @throws SyscallError when nobody listens there */
  constructor(path: string) {
    const fd: number = check(socketCall(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0), 'datagram socket');
    try {
      withUnixAddress(path, address => check(connectCall(fd, address, address.length), `connect ${path}`));
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    this.#fd = fd;
  }

  /** False when the receiver has no room now. @throws SyscallError */
  send(message: Buffer): boolean {
    if (Number(sendCall(this.#fd, message, message.length, MSG_DONTWAIT | MSG_NOSIGNAL)) >= 0) return true;
    const code = errno();
    if (code === EAGAIN || code === ENOBUFS) return false;
    throw new SyscallError('send', code);
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}
