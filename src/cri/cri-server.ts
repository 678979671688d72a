import type { Socket } from 'node:net';
import { GrpcServer } from '#wire/grpc/server.ts';
import type { CriContext } from './context.ts';
import { criMethods } from './services.ts';

/** CRI on connections that it is handed; made when the first of them comes. */
export class CriServer implements AsyncDisposable {
  readonly #grpc: GrpcServer;
  readonly #stack: AsyncDisposableStack;

  constructor(context: CriContext) {
    const { log, clock, stack } = context;
    const methods = criMethods(context);
    this.#stack = stack;
    this.#grpc = new GrpcServer({
      methodOf: path => methods.get(path),
      onFailure: (path, error) => log.error('a CRI call failed', { path, error }),
      clock,
    });
  }

  accept(socket: Socket): void {
    this.#grpc.accept(socket);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#grpc[Symbol.asyncDispose]();
    await this.#stack[Symbol.asyncDispose]();
  }
}
