import { parentPort, Worker } from 'node:worker_threads';
import { type ErrorDetails, messageOf, type Reason, UmiakError } from './errors.ts';

/** What a worker answers to, by name. Arguments and results are copied (structured clone). */
export type CallHandlers = Record<string, (...args: never[]) => unknown>;

type Failure = { message: string; reason: Reason; details: ErrorDetails; hint?: string | undefined };
type Request = { id: number; name: string; args: unknown[] };
type Reply = { id: number; result?: unknown; failure?: Failure };

/** In a worker: answers the calls of its `WorkerCalls`, in the order in which they come. Call once, at the end of the worker's module. */
export function serveCalls(handlers: CallHandlers): void {
  if (!parentPort) throw new UmiakError('InternalError', 'serveCalls runs in worker threads only');
  const port = parentPort;
  port.on('message', ({ id, name, args }: Request) => {
    const answer = (reply: Omit<Reply, 'id'>) => port.postMessage({ id, ...reply });
    try {
      const result = handlers[name]!(...(args as never[]));
      if (result instanceof Promise)
        result.then(
          value => answer({ result: value }),
          error => answer({ failure: toFailure(error) }),
        );
      else answer({ result });
    } catch (error) {
      answer({ failure: toFailure(error) });
    }
  });
}

/** A worker thread and the calls to it. It keeps the process alive only while a call is under way. */
export class WorkerCalls<Handlers extends CallHandlers> implements AsyncDisposable {
  #worker: Worker;
  #pending = new Map<number, { resolve: (value: never) => void; reject: (error: unknown) => void }>();
  #next = 0;
  #ended: UmiakError | undefined;
  #name: string;

  constructor(module: URL, { name, data }: { name: string; data?: unknown }) {
    this.#name = name;
    this.#worker = new Worker(module, { name, workerData: data });
    this.#worker.unref();
    this.#worker.on('message', (reply: Reply) => this.#settle(reply));
    this.#worker.on('error', error =>
      this.#end(new UmiakError('InternalError', `worker ${name} failed: ${messageOf(error)}`, { cause: error })),
    );
    this.#worker.on('exit', () => this.#end(new UmiakError('ServiceUnavailable', `worker ${name} has ended`)));
  }

  /** Calls a handler; rejects with the handler's error (reason and hint kept), or when the worker ends first. */
  call<Name extends keyof Handlers & string>(
    name: Name,
    ...args: Parameters<Handlers[Name]>
  ): Promise<Awaited<ReturnType<Handlers[Name]>>> {
    if (this.#ended) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => {
      const id = ++this.#next;
      if (this.#pending.size === 0) this.#worker.ref();
      this.#pending.set(id, { resolve, reject });
      this.#worker.postMessage({ id, name, args } satisfies Request);
    });
  }

  /** It failed, ended or was closed: every call is refused. */
  get hasEnded(): boolean {
    return this.#ended !== undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end(new UmiakError('ServiceUnavailable', `worker ${this.#name} is closed`));
    await this.#worker.terminate();
  }

  #settle({ id, result, failure }: Reply): void {
    const call = this.#pending.get(id);
    this.#pending.delete(id);
    if (this.#pending.size === 0) this.#worker.unref();
    if (failure)
      call?.reject(
        new UmiakError(failure.reason, failure.message, { details: failure.details, ...(failure.hint && { hint: failure.hint }) }),
      );
    else call?.resolve(result as never);
  }

  #end(error: UmiakError): void {
    this.#ended ??= error;
    for (const { reject } of this.#pending.values()) reject(this.#ended);
    this.#pending.clear();
  }
}

function toFailure(error: unknown): Failure {
  if (error instanceof UmiakError) return { message: error.message, reason: error.reason, details: error.details, hint: error.hint };
  return { message: messageOf(error), reason: 'InternalError', details: {} };
}
