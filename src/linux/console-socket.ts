import { closeSync, rmSync } from 'node:fs';
import koffi from 'koffi';
import { check, declare } from './libc.ts';
import { AF_UNIX, withUnixAddress } from './unix-address.ts';

const SOCK_STREAM_CLOEXEC = 1 | 0o2000000;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x40000000;
/** `struct cmsghdr`, and the one descriptor behind it. */
const CONTROL = { length: 24, level: 8, type: 12, descriptor: 16 };

koffi.struct('umiak_iovec', { base: 'void *', length: 'size_t' });
koffi.struct('umiak_msghdr', {
  name: 'void *',
  namelen: 'uint32_t',
  iov: 'umiak_iovec *',
  iovlen: 'size_t',
  control: 'void *',
  controllen: 'size_t',
  flags: 'int',
});
const socketCall = declare('int socket(int family, int type, int protocol)');
const bindCall = declare('int bind(int fd, const void *address, uint32_t length)');
const listenCall = declare('int listen(int fd, int backlog)');
const acceptCall = declare('int accept4(int fd, void *address, void *length, int flags)');
const receiveCall = declare('long recvmsg(int fd, umiak_msghdr *message, int flags)');

/**
 * A socket on which an OCI runtime hands over the terminal that it made for a process (`--console-socket`). Whoever waits for the runtime
 * knows when it has: the pid file is written later.
 */
export class ConsoleSocket implements Disposable {
  readonly path: string;
  readonly #fd: number;

  /** Only root may connect to it. @throws SyscallError */
  constructor(path: string) {
    this.path = path;
    this.#fd = check(socketCall(AF_UNIX, SOCK_STREAM_CLOEXEC | SOCK_NONBLOCK, 0), 'console socket');
    try {
      withUnixAddress(path, address => check(bindCall(this.#fd, address, address.length), `bind ${path}`));
      check(listenCall(this.#fd, 1), `listen on ${path}`);
    } catch (error) {
      closeSync(this.#fd);
      throw error;
    }
  }

  /** The terminal's master end, the caller's to close; undefined when nothing was handed over yet. */
  receive(): number | undefined {
    const connection: number = acceptCall(this.#fd, null, null, SOCK_CLOEXEC);
    if (connection < 0) return undefined;
    try {
      return receiveDescriptor(connection);
    } finally {
      closeSync(connection);
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
    rmSync(this.path, { force: true });
  }
}

function receiveDescriptor(connection: number): number | undefined {
  const control = Buffer.alloc(CONTROL.length);
  const message = {
    name: null,
    namelen: 0,
    iov: { base: Buffer.alloc(4096), length: 4096 },
    iovlen: 1,
    control,
    controllen: control.length,
    flags: 0,
  };
  if (Number(receiveCall(connection, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)) <= 0) return undefined;
  const isDescriptor = control.readInt32LE(CONTROL.level) === SOL_SOCKET && control.readInt32LE(CONTROL.type) === SCM_RIGHTS;
  return isDescriptor ? control.readInt32LE(CONTROL.descriptor) : undefined;
}
