import { closeSync, constants, openSync } from 'node:fs';
import { basename, dirname } from 'node:path';

export const AF_UNIX = 1;

/** The address (`struct sockaddr_un`) of a socket at a path of any length: through an open directory every path is short. Valid during `use`. */
export function withUnixAddress<T>(path: string, use: (address: Buffer) => T): T {
  const directory = openSync(dirname(path), constants.O_DIRECTORY);
  try {
    const address = Buffer.alloc(110);
    address.writeUInt16LE(AF_UNIX);
    address.write(`/proc/self/fd/${directory}/${basename(path)}`, 2);
    return use(address);
  } finally {
    closeSync(directory);
  }
}
