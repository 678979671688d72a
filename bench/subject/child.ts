import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';

const END_MS = 15_000;

/** A process that a bench needs beside it; disposed, it has ended: by SIGTERM, or by SIGKILL when it takes too long. */
export class Child implements AsyncDisposable {
  readonly pid: number;
  readonly #process: ChildProcess;
  readonly #said: string[] = [];
  #ended: Promise<unknown>;

  constructor(command: string, args: string[], options: SpawnOptions = {}) {
    this.#process = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#ended = once(this.#process, 'exit').catch(() => undefined);
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#said.push(text);
        if (this.#said.length > 200) this.#said.shift();
      });
    }
    if (this.#process.pid === undefined) throw new Error(`${command} cannot be started`);
    this.pid = this.#process.pid;
  }

  /** Resolves when `isReady` does not throw any more. @throws with what the process said if it ends before, or after `timeoutMs` */
  async ready(what: string, isReady: () => Promise<unknown>, timeoutMs = 60_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      try {
        await isReady();
        return;
      } catch (error) {
        if (this.#process.exitCode !== null) throw new Error(`${what} ended with ${this.#process.exitCode}:\n${this.#tail()}`);
        if (performance.now() > deadline) throw new Error(`${what} is not ready: ${String(error)}\n${this.#tail()}`);
        await new Promise(resume => setTimeout(resume, 20));
      }
    }
  }

  #tail(): string {
    return this.#said.join('').split('\n').slice(-15).join('\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill('SIGTERM');
    const deadline = setTimeout(() => this.#process.kill('SIGKILL'), END_MS);
    await this.#ended;
    clearTimeout(deadline);
  }
}

/** A port on loopback that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  await new Promise(done => server.close(done));
  if (typeof address !== 'object' || !address) throw new Error('no free port');
  return address.port;
}
