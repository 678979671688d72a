/** `struct epoll_event` is packed on x86-64 and nowhere else. */
const DATA_OFFSET = process.arch === 'x64' ? 4 : 8;
export const EPOLL_EVENT_BYTES = DATA_OFFSET + 8;

/** An event whose data is a descriptor and an id that outlives it. */
export function toEpollEvent(flags: number, fd: number, id: number): Buffer {
  const event = Buffer.alloc(EPOLL_EVENT_BYTES);
  event.writeUInt32LE(flags);
  event.writeInt32LE(fd, DATA_OFFSET);
  event.writeUInt32LE(id, DATA_OFFSET + 4);
  return event;
}

/** The event at `index` of what `epoll_wait` filled. */
export function fromEpollEvents(events: Buffer, index: number): { flags: number; fd: number; id: number } {
  const at = EPOLL_EVENT_BYTES * index;
  return { flags: events.readUInt32LE(at), fd: events.readInt32LE(at + DATA_OFFSET), id: events.readUInt32LE(at + DATA_OFFSET + 4) };
}
