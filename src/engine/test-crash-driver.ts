import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as after } from 'node:timers/promises';
import { identify, readCommandLine, signalProcess } from '#linux/process.ts';
import type { Said } from './test-crash-worker.ts';
import { findProcesses } from './world.ts';

const SIGKILL = 9;
const PATIENCE_MS = 20_000;

/** A worker of the crash test that lives until it is killed, and what it has said so far. */
export class CrashWorker {
  readonly said: Said[] = [];
  readonly #directory: string;
  readonly #process: ChildProcess;
  readonly #ended: Promise<void>;
  #heard = Promise.withResolvers<void>();

  constructor({ directory, instance, seed }: { directory: string; instance: string; seed: number }) {
    this.#directory = directory;
    const program = new URL('./test-crash-worker.ts', import.meta.url).pathname;
    const worker = spawn(process.execPath, [program, directory, instance, 'crun', String(seed)], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#process = worker;
    this.#ended = this.#listen(worker);
  }

  async #listen({ stdout }: ChildProcess): Promise<void> {
    if (!stdout) return;
    for await (const line of createInterface({ input: stdout })) {
      this.said.push(JSON.parse(line) as Said);
      this.#heard.resolve();
      this.#heard = Promise.withResolvers();
    }
  }

  /** Waits until it has said something that fits. @throws when it ends before or does not in time */
  async until(what: string, fits: (said: Said) => boolean): Promise<void> {
    const end = performance.now() + PATIENCE_MS;
    while (!this.said.some(fits)) {
      const event = await Promise.race([
        this.#heard.promise,
        this.#ended.then(() => 'ended'),
        after(end - performance.now(), 'late', { ref: false }),
      ]);
      if (event) throw new Error(`the worker ${event === 'late' ? 'did not say in time' : 'ended before it said'}: ${what}`);
    }
  }

  /** Ends it in the middle of whatever it does. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#ended;
  }

  /** Kills one of its monitors or runtimes in the middle of whatever that does; the id of the container it was working for. */
  async killOne(name: 'conmon' | 'crun', random: () => number): Promise<string> {
    const end = performance.now() + PATIENCE_MS;
    for (;;) {
      const found = findProcesses(this.#directory).filter(({ pid }) => readCommandLine(pid)[0]?.endsWith(`/${name}`));
      // A monitor lives long: as often as not it is the one that was started last.
      const victim = name === 'conmon' && random() < 0.5 ? found.at(-1) : found[Math.floor(random() * found.length)];
      if (victim) {
        const id = readCommandLine(victim.pid).find(word => /^[0-9a-f]{64}$/.test(word));
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, random() * 4);
        if (id !== undefined && identify(victim.pid) && signalProcess(victim, SIGKILL)) return id;
      }
      if (performance.now() > end) throw new Error(`no ${name} was seen`);
      await after(0);
    }
  }
}
