import { mkdirSync, rmSync } from 'node:fs';
import type { Server } from 'node:net';
import { dirname } from 'node:path';

/** Who comes while that many others wait is refused; the kernel's own bound is lower. */
const BACKLOG = 4096;

/** Listens on a unix socket that is made anew with mode 0660; the caller knows that nobody else's server is behind an old one. */
export async function listenOnSocket(server: Server, path: string): Promise<void> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  rmSync(path, { force: true });
  const listening = new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.once('listening', resolve);
  });
  // The socket is there when `listen` returns. The mask is the whole process's: nobody else may make a file meanwhile.
  const before = process.umask(0o117);
  try {
    server.listen({ path, backlog: BACKLOG });
  } finally {
    process.umask(before);
  }
  await listening;
}
