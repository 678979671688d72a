import { rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { listenOnSocket } from '#wire/unix-socket.ts';
import type { CriContext } from './context.ts';
import type { CriServer } from './cri-server.ts';

export interface CriOptions extends Omit<CriContext, 'stack'> {
  /** Made anew with mode 0660; whoever holds the agent's lock may call. */
  socketPath: string;
}

/** A kubelet has two. Others beyond these are closed at once, so that the process keeps descriptors for its containers. */
const MOST_CONNECTIONS = 250;

/** Opens `cri.sock`. What serves it is loaded with the first connection. Disposing ends every call. */
export async function startCri({ socketPath, ...context }: CriOptions): Promise<AsyncDisposable> {
  let serving: Promise<CriServer> | undefined;
  const load = async () => {
    const { CriServer } = await import('./cri-server.ts');
    return new CriServer({ ...context, stack: new AsyncDisposableStack() });
  };
  const sockets = new Set<Socket>();
  // Not a byte may be read before HTTP/2 has the connection.
  const server = createServer({ pauseOnConnect: true }, socket => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', () => {});
    serving ??= load();
    serving.then(
      cri => {
        cri.accept(socket);
        socket.resume();
      },
      error => {
        serving = undefined; // the next connection tries again
        context.log.error('CRI can not be served', { error });
        socket.destroy();
      },
    );
  });
  server.maxConnections = MOST_CONNECTIONS;
  await listenOnSocket(server, socketPath);
  return {
    async [Symbol.asyncDispose]() {
      const closed = new Promise(resolve => server.close(resolve));
      await (await serving?.catch(() => undefined))?.[Symbol.asyncDispose]();
      for (const socket of sockets) socket.destroy();
      await closed;
      rmSync(socketPath, { force: true });
    },
  };
}
