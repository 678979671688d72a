import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { UmiakError } from '#base/index.ts';
import type { Container, Engine } from '#engine/engine.ts';
import type { Pod } from '#kinds/pod.ts';
import { terminationFile } from './container-planner.ts';
import type { ContainerSpec } from './parts.ts';
import type { LifecycleHooks } from './pod-worker.ts';
import { httpProbe, tcpProbe } from './probe-checks.ts';

type Handler = NonNullable<NonNullable<ContainerSpec['lifecycle']>['preStop']>;

const LAST_WORDS_BYTES = 4096;
const LOG_WORDS_BYTES = 2048;
const LOG_WORDS_LINES = 80;
const POST_START_MS = 120_000;

/** Hooks by exec, HTTP, TCP or sleep, and what containers leave as their last words. */
export class LocalHooks implements LifecycleHooks {
  readonly #engine: Engine;
  readonly #podDirectory: string;

  constructor({ engine, podDirectory }: { engine: Engine; podDirectory: string }) {
    this.#engine = engine;
    this.#podDirectory = podDirectory;
  }

  async postStart(_pod: Pod, container: ContainerSpec, containerId: string, address: string): Promise<void> {
    const handler = container.lifecycle?.postStart;
    if (handler) await this.#run(handler, container, containerId, address, POST_START_MS);
  }

  async preStop(_pod: Pod, container: ContainerSpec, containerId: string, address: string, withinMs: number): Promise<void> {
    const handler = container.lifecycle?.preStop;
    if (handler) await this.#run(handler, container, containerId, address, withinMs).catch(() => {});
  }

  async #run(
    { exec, httpGet, tcpSocket, sleep: pause }: Handler,
    container: ContainerSpec,
    containerId: string,
    address: string,
    timeoutMs: number,
  ): Promise<void> {
    if (exec) {
      const { exitCode, output } = await this.#engine.execSync(containerId, { command: exec.command ?? [], timeoutMs });
      if (exitCode !== 0)
        throw new UmiakError(
          'InternalError',
          `Exec lifecycle hook ${JSON.stringify(exec.command)} for Container "${container.name}" failed with exit code ${exitCode}: ${output}`,
        );
    } else if (httpGet) {
      const { ok, message } = await httpProbe(httpGet, container, address, timeoutMs);
      if (!ok) throw new UmiakError('InternalError', `HTTP lifecycle hook for Container "${container.name}" failed: ${message}`);
    } else if (tcpSocket) {
      const { ok, message } = await tcpProbe(tcpSocket, container, address, timeoutMs);
      if (!ok) throw new UmiakError('InternalError', `TCP lifecycle hook for Container "${container.name}" failed: ${message}`);
    } else if (pause) await sleep(Math.min(Number(pause.seconds) * 1000, timeoutMs));
  }

  async terminationMessage(pod: Pod, container: ContainerSpec, instance: Container): Promise<string | undefined> {
    const file = terminationFile(this.#podDirectory, pod.metadata.uid, container.name, instance.config.metadata.attempt);
    const written = await readStart(file, LAST_WORDS_BYTES);
    if (written || container.terminationMessagePolicy !== 'FallbackToLogsOnError' || instance.exitCode === 0) return written || undefined;
    const chunks: Buffer[] = [];
    for await (const chunk of this.#engine.logs(instance.id, { tailLines: LOG_WORDS_LINES })) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).subarray(-LOG_WORDS_BYTES).toString() || undefined;
  }
}

/** The beginning of a regular file; empty when there is none. A container could have put anything there. */
async function readStart(path: string, bytes: number): Promise<string> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if (!(await file.stat()).isFile()) return '';
    const { buffer, bytesRead } = await file.read(Buffer.alloc(bytes), 0, bytes, 0);
    return buffer.subarray(0, bytesRead).toString();
  } catch {
    return '';
  }
}
