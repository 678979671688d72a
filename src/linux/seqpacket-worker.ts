import { parentPort, workerData } from 'node:worker_threads';
import { EPOLL_EVENT_BYTES, fromEpollEvents, toEpollEvent } from './epoll-event.ts';
import { declare, errno } from './libc.ts';
import type { SeqpacketBatch, SeqpacketWorkerData } from './seqpacket.ts';

const EPOLLIN = 1;
const EPOLLOUT = 4;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;
const MSG_DONTWAIT = 0x40;
const EAGAIN = 11;
const EVENTS = 256;
const PACKET_BYTES = 8192 + 1;
const SLAB_BYTES = 1 << 20;
const PACKETS_A_TURN = 16;
const MAX_UNREAD_BYTES = 16 << 20;

const epollWait = declare('int epoll_wait(int epoll, void *events, int count, int timeout)');
const epollCtl = declare('int epoll_ctl(int epoll, int operation, int fd, const void *event)');
const recv = declare('long recv(int fd, void *buffer, size_t length, int flags)');
const read = declare('long read(int fd, void *buffer, size_t length)');
const close = declare('int close(int fd)');

/**
 * Waits for all sockets in one blocking system call; only synchronous calls in here, since koffi's asynchronous ones would hold threads of
 * libuv's pool. Orders come through a pipe that is waited for like the sockets, and are carried out after the packets of the same turn.
 */
function serve({ epoll, orders, unread }: SeqpacketWorkerData): void {
  const events = Buffer.alloc(EPOLL_EVENT_BYTES * EVENTS);
  const slab = Buffer.alloc(SLAB_BYTES);
  const order = Buffer.alloc(8);
  for (;;) {
    const batch: SeqpacketBatch = { bytes: new ArrayBuffer(0), packets: [], ended: [], writable: [] };
    let used = 0;
    let hasOrders = false;
    const ready: number = epollWait(epoll, events, EVENTS, -1);
    for (let i = 0; i < ready; i++) {
      const { flags, fd, id } = fromEpollEvents(events, i);
      if (fd === orders) {
        hasOrders = true;
        continue;
      }
      if (flags & EPOLLOUT) {
        epollCtl(epoll, EPOLL_CTL_MOD, fd, toEpollEvent(EPOLLIN, fd, id));
        batch.writable.push(id);
      }
      if (!(flags & ~EPOLLOUT)) continue;
      for (let n = 0; n < PACKETS_A_TURN && used + PACKET_BYTES <= SLAB_BYTES; n++) {
        const size = Number(recv(fd, slab.subarray(used), PACKET_BYTES, MSG_DONTWAIT));
        if (size > 0) {
          batch.packets.push({ id, start: used, end: used + size });
          used += size;
          continue;
        }
        if (size < 0 && errno() === EAGAIN) break;
        epollCtl(epoll, EPOLL_CTL_DEL, fd, null);
        batch.ended.push(id);
        break;
      }
    }
    if (batch.packets.length + batch.ended.length + batch.writable.length > 0) {
      batch.bytes = new Uint8Array(slab.subarray(0, used)).buffer; // one copy and one message for all that was ready
      let now = Atomics.add(unread, 0, used) + used;
      for (; now > MAX_UNREAD_BYTES; now = Atomics.load(unread, 0)) Atomics.wait(unread, 0, now);
      parentPort!.postMessage(batch, [batch.bytes]);
    }
    if (!hasOrders) continue;
    if (Number(read(orders, order, order.length)) !== order.length) return; // the owner has closed
    close(order.readInt32LE(0));
  }
}

serve(workerData as SeqpacketWorkerData);
