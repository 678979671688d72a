import { execFile } from 'node:child_process';
import { existsSync, unlinkSync } from 'node:fs';
import { promisify } from 'node:util';
import { UmiakError } from '#base/errors.ts';
import { writeFifo } from './conmon.ts';
import type { EnginePaths } from './paths.ts';
import type { ContainerRecord } from './records.ts';

const run = promisify(execFile);
const START_TIMEOUT_MS = 30_000;

/** An OCI runtime's program. Creating goes through a monitor (`conmon.ts`), ending through the kernel (`Cgroup`). */
export interface OciRuntime {
  readonly name: 'crun' | 'runc';
  readonly path: string;
  /** Its `--root`; `<root>/<id>` is a container's state. */
  readonly root: string;
  /** Takes seccomp as compiled BPF in an annotation. */
  readonly takesBpf: boolean;
  /** Lets a created container run. */
  start(id: string): Promise<void>;
}

/** The runtime of that name with its state below `root`. @throws ServiceUnavailable when it is not installed */
export function openRuntime(name: 'crun' | 'runc', root: string): OciRuntime {
  const path = ['/usr/bin', '/usr/sbin', '/usr/local/bin', '/usr/local/sbin'].map(directory => `${directory}/${name}`).find(existsSync);
  if (path === undefined) throw new UmiakError('ServiceUnavailable', `${name} is not installed`, { hint: `Install the package ${name}.` });
  return name === 'crun' ? new CrunRuntime(path, root) : new RuncRuntime(path, root);
}

/** The runtimes that containers ask for, each opened when it is first asked for. */
export class OciRuntimes {
  readonly #paths: EnginePaths;
  readonly #opened = new Map<string, OciRuntime>();

  constructor(paths: EnginePaths) {
    this.#paths = paths;
  }

  /** @throws ServiceUnavailable when it is not installed */
  of({ runtime: name }: Pick<ContainerRecord, 'runtime'>): OciRuntime {
    const runtime = this.#opened.get(name) ?? openRuntime(name, this.#paths.runtimeRoot(name));
    this.#opened.set(name, runtime);
    return runtime;
  }
}

class CrunRuntime implements OciRuntime {
  readonly name = 'crun';
  readonly takesBpf = true;
  readonly path: string;
  readonly root: string;

  constructor(path: string, root: string) {
    this.path = path;
    this.root = root;
  }

  /** All that `crun start` does without start hooks: open, unlink, one byte. */
  async start(id: string): Promise<void> {
    const fifo = `${this.root}/${id}/exec.fifo`;
    if (writeFifo(fifo, '\0', () => unlinkSync(fifo))) return;
    await startByProgram(this, id); // its first process has not come to the fifo yet; this waits for it
  }
}

class RuncRuntime implements OciRuntime {
  readonly name = 'runc';
  readonly takesBpf = false;
  readonly path: string;
  readonly root: string;

  constructor(path: string, root: string) {
    this.path = path;
    this.root = root;
  }

  async start(id: string): Promise<void> {
    await startByProgram(this, id);
  }
}

async function startByProgram({ name, path, root }: OciRuntime, id: string): Promise<void> {
  try {
    await run(path, ['--root', root, 'start', id], { timeout: START_TIMEOUT_MS, killSignal: 'SIGKILL' });
  } catch (error) {
    const { stderr = '' } = error as { stderr?: string };
    throw new UmiakError('InternalError', stderr.trim().split('\n').at(-1) || `${name} start did not end`, { cause: error });
  }
}
