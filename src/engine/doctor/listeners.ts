import { readdirSync, readlinkSync } from 'node:fs';
import { readText } from './read.ts';

/** A socket that others' connections or packets reach. */
export interface Listener {
  protocol: 'tcp' | 'udp';
  /** Dotted; `*` for all addresses. IPv6 ones other than `::` are left as the kernel writes them. */
  address: string;
  port: number;
  inode: number;
}

const LISTENING = { tcp: '0A', udp: '07' };

/** Listeners of `/proc/net/{tcp,tcp6,udp,udp6}`. Pure. */
export function parseListeners(table: string, protocol: 'tcp' | 'udp'): Listener[] {
  return table.split('\n').flatMap(line => {
    const words = line.trim().split(/\s+/);
    const [, local = '', , state] = words;
    const [address = '', port = ''] = local.split(':');
    if (state !== LISTENING[protocol] || port === '') return [];
    return [{ protocol, address: toAddress(address), port: Number.parseInt(port, 16), inode: Number(words[9]) }];
  });
}

/** Paths of listening sockets in `/proc/net/unix`. Pure. */
export function parseUnixListeners(table: string): string[] {
  return table.split('\n').flatMap(line => {
    const [, , , flags, , , , path] = line.trim().split(/\s+/);
    return path !== undefined && flags === '00010000' ? [path] : [];
  });
}

/** Everything that listens in this network namespace. */
export function readListeners(): Listener[] {
  return (['tcp', 'udp'] as const).flatMap(protocol =>
    ['', '6'].flatMap(version => parseListeners(readText(`/proc/net/${protocol}${version}`) ?? '', protocol)),
  );
}

/** Processes that hold one of these sockets, with their names. */
export function readHolders(inodes: ReadonlySet<number>): Map<number, { pid: number; name: string }> {
  const holders = new Map<number, { pid: number; name: string }>();
  if (inodes.size === 0) return holders;
  for (const pid of readdirSync('/proc').filter(name => /^\d+$/.test(name))) {
    for (const inode of socketsOf(pid)) {
      if (inodes.has(inode)) holders.set(inode, { pid: Number(pid), name: readText(`/proc/${pid}/comm`)?.trim() ?? '' });
    }
  }
  return holders;
}

function socketsOf(pid: string): number[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap(fd => {
      const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
      return inode === undefined ? [] : [Number(inode)];
    });
  } catch {
    return []; // ended meanwhile, or its file was closed
  }
}

function toAddress(hexadecimal: string): string {
  if (/^0+$/.test(hexadecimal)) return '*';
  const mapped = /^0{16}FFFF0000([0-9A-F]{8})$/.exec(hexadecimal)?.[1];
  const bytes = mapped ?? hexadecimal;
  if (bytes.length !== 8) return hexadecimal;
  // Written as a number of this machine's byte order, which is little-endian wherever umiak runs.
  return [...Buffer.from(bytes, 'hex')].reverse().join('.');
}
