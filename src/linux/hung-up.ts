import type { Duplex } from 'node:stream';
import { declare } from './libc.ts';

const POLLHUP = 0x10;
const POLLERR = 0x08;

const pollCall = declare('int poll(void *fds, unsigned long count, int timeout)');

/** Whether the other end of a unix socket is gone, and has not only said all it had to say. Of other connections nobody can tell. */
export function hasHungUp(connection: Duplex): boolean {
  const { fd } = (connection as { _handle?: { fd?: number } })._handle ?? {};
  if (fd === undefined || fd < 0) return connection.destroyed;
  const poll = Buffer.alloc(8);
  poll.writeInt32LE(fd, 0);
  pollCall(poll, 1, 0);
  return (poll.readUInt16LE(6) & (POLLHUP | POLLERR)) !== 0;
}
