import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { type Clock, isUmiakError, messageOf, systemClock, UmiakError } from '#base/index.ts';
import type { Container, Engine } from '#engine/engine.ts';
import type { Pod } from '#kinds/pod.ts';
import { terminationFile } from './container-planner.ts';
import type { ContainerSpec, LifecycleHooks } from './parts.ts';
import { type CheckResult, httpProbe, tcpProbe } from './probe-checks.ts';

type Handler = NonNullable<NonNullable<ContainerSpec['lifecycle']>['preStop']>;

export interface LocalHooksOptions {
  engine: Pick<Engine, 'execSync' | 'logs'>;
  /** The one of the container planner: there lie the termination messages. */
  podDirectory: string;
  clock?: Clock;
}

const LAST_WORDS_BYTES = 4096;
const LOG_WORDS_BYTES = 2048;
const LOG_WORDS_LINES = 80;
/** A postStart hook may take as long as its container lives. */
const UNBOUNDED_MS = 2 ** 31 - 1;

/** Hooks by exec, HTTP, TCP or sleep, and what containers leave as their last words. */
export class LocalHooks implements LifecycleHooks {
  readonly #engine: LocalHooksOptions['engine'];
  readonly #podDirectory: string;
  readonly #clock: Clock;

  constructor({ engine, podDirectory, clock = systemClock }: LocalHooksOptions) {
    this.#engine = engine;
    this.#podDirectory = podDirectory;
    this.#clock = clock;
  }

  async postStart(_pod: Pod, container: ContainerSpec, containerId: string, address: string): Promise<void> {
    const handler = container.lifecycle?.postStart;
    if (handler) await this.#run(handler, container, containerId, address, UNBOUNDED_MS);
  }

  async preStop(_pod: Pod, container: ContainerSpec, containerId: string, address: string, withinMs: number): Promise<{ failed?: string }> {
    const handler = container.lifecycle?.preStop;
    try {
      if (handler) await this.#run(handler, container, containerId, address, withinMs);
      return {};
    } catch (error) {
      return { failed: messageOf(error) };
    }
  }

  async #run(
    { exec, httpGet, tcpSocket, sleep }: Handler,
    container: ContainerSpec,
    containerId: string,
    address: string,
    timeoutMs: number,
  ): Promise<void> {
    if (exec) return this.#exec(exec.command ?? [], container, containerId, timeoutMs);
    const late = new AbortController();
    using _ = this.#clock.after(timeoutMs, () => late.abort());
    if (httpGet) demand(await httpProbe(httpGet, container, address, late.signal), 'HTTP', container);
    else if (tcpSocket) demand(await tcpProbe(tcpSocket, container, address, late.signal), 'TCP', container);
    else if (sleep) await pause(this.#clock, Math.min(Number(sleep.seconds) * 1000, timeoutMs));
  }

  async #exec(command: string[], { name }: ContainerSpec, containerId: string, timeoutMs: number): Promise<void> {
    const what = `Exec lifecycle hook (${JSON.stringify(command)}) for Container "${name}"`;
    const { exitCode, output } = await this.#engine.execSync(containerId, { command, timeoutMs }).catch(error => {
      if (isUmiakError(error, 'Timeout')) throw new UmiakError('Timeout', `${what} took longer than it may`, { cause: error });
      throw error;
    });
    if (exitCode !== 0) throw new UmiakError('InternalError', `${what} failed - exit code ${exitCode}, message: ${JSON.stringify(output)}`);
  }

  /** What the container wrote to its termination file; if it asked for that, was empty-handed and failed, the end of its log. */
  async terminationMessage(pod: Pod, container: ContainerSpec, instance: Container): Promise<string | undefined> {
    const file = terminationFile(this.#podDirectory, pod.metadata.uid, container.name, instance.config.metadata.attempt);
    const written = await readEnd(file, LAST_WORDS_BYTES);
    if (written || container.terminationMessagePolicy !== 'FallbackToLogsOnError' || instance.exitCode === 0) return written || undefined;
    try {
      return (await this.#endOfLog(instance.id)) || undefined;
    } catch (error) {
      return `Error on reading termination message from logs: ${messageOf(error)}`;
    }
  }

  /** The last lines, however long they are: never more than their end in memory. */
  async #endOfLog(containerId: string): Promise<string> {
    let end: Buffer = Buffer.alloc(0);
    for await (const chunk of this.#engine.logs(containerId, { tailLines: LOG_WORDS_LINES }))
      end = Buffer.concat([end, chunk as Buffer]).subarray(-LOG_WORDS_BYTES);
    return wholeCharacters(end);
  }
}

/** The request must have been answered; by what is not looked at, as the kubelet doesn't. */
function demand({ ok, message }: CheckResult, what: string, { name }: ContainerSpec): void {
  if (ok || message.startsWith('HTTP probe failed with statuscode')) return;
  throw new UmiakError('InternalError', `${what} lifecycle hook for Container "${name}" failed: ${message}`);
}

function pause(clock: Clock, ms: number): Promise<void> {
  return new Promise(resolve => void clock.after(ms, resolve));
}

/** The end of a regular file; empty when there is none. A container could have put anything there. */
async function readEnd(path: string, bytes: number): Promise<string> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const stats = await file.stat();
    if (!stats.isFile()) return '';
    const { buffer, bytesRead } = await file.read(Buffer.alloc(bytes), 0, bytes, Math.max(0, stats.size - bytes));
    return wholeCharacters(buffer.subarray(0, bytesRead));
  } catch {
    return '';
  }
}

/** Text without the rest of a character that was cut in two at its beginning. */
function wholeCharacters(bytes: Buffer): string {
  let start = 0;
  while (start < 3 && ((bytes[start] ?? 0) & 0xc0) === 0x80) start++;
  return bytes.subarray(start).toString();
}
