import { execFile } from 'node:child_process';
import { existsSync, unlinkSync } from 'node:fs';
import { promisify } from 'node:util';
import { UmiakError } from '#base/errors.ts';
import { signalProcess } from '#linux/process.ts';
import { SealedProgram } from '#linux/sealed-program.ts';
import { writeFifo } from './conmon.ts';
import type { EnginePaths } from './paths.ts';
import type { ContainerRecord } from './records.ts';
import { type RuntimeFeatures, readFeatures } from './runtime-features.ts';
import type { RuntimeHandler, RuntimeHandlers, RuntimeType } from './runtime-handlers.ts';

const run = promisify(execFile);
const TIMEOUT_MS = 30_000;
const DIRECTORIES = ['/usr/bin', '/usr/sbin', '/usr/local/bin', '/usr/local/sbin'];
/** The first crun whose BPF annotation and `exec.fifo` our tests have seen. */
const QUICK_CRUN = [1, 8] as const;

/** An OCI runtime's program. Creating goes through a monitor (`conmon.ts`), ending through the kernel (`Cgroup`). */
export interface OciRuntime {
  /** The handler's name. */
  readonly name: string;
  readonly type: RuntimeType;
  /** Of its program, as it is to be run now. */
  readonly path: string;
  /** Its `--root`, where its state of containers is. */
  readonly root: string;
  /** Options before every verb. */
  readonly args: readonly string[];
  /** Takes seccomp as compiled BPF in an annotation. */
  readonly takesBpf: boolean;
  /** What runs in its containers are processes of this machine, which the kernel can signal and look into. */
  readonly hasHostProcesses: boolean;
  /** Lets a created container run. */
  start(id: string): Promise<void>;
  signal(container: Pick<ContainerRecord, 'id' | 'init'>, signal: number): Promise<void>;
  /** Ends a process of `exec`, by the number that the runtime told. */
  killExec(id: string, pid: number): Promise<void>;
}

export interface OciRuntimesOptions {
  paths: EnginePaths;
  handlers: RuntimeHandlers;
  /** Control groups are made by systemd. */
  systemdCgroups?: boolean;
}

/** The runtimes that containers ask for by name, each opened and asked what it can do when it is first wanted. */
export class OciRuntimes {
  readonly #paths: EnginePaths;
  readonly #handlers: RuntimeHandlers;
  readonly #systemdCgroups: boolean;
  readonly #opened = new Map<string, Promise<OciRuntime>>();
  readonly #features = new Map<string, Promise<RuntimeFeatures>>();

  constructor({ paths, handlers, systemdCgroups = false }: OciRuntimesOptions) {
    this.#paths = paths;
    this.#handlers = handlers;
    this.#systemdCgroups = systemdCgroups;
  }

  /** Handlers that are configured and whose programs are here. */
  names(): string[] {
    return Object.entries(this.#handlers).flatMap(([name, handler]) => (findProgram(handler) === undefined ? [] : [name]));
  }

  /** The kind of a handler's program. @throws Invalid when there is no such handler */
  typeOf(name: string): RuntimeType {
    return this.#handler(name).type;
  }

  /** @throws Invalid for a name that is not configured, ServiceUnavailable when its program is not installed or does not run */
  of({ runtime: name }: Pick<ContainerRecord, 'runtime'>): Promise<OciRuntime> {
    return once(this.#opened, name, () => this.#open(name));
  }

  /** What the handler can do, asked once. */
  features(name: string): Promise<RuntimeFeatures> {
    return once(this.#features, name, async () => readFeatures(name, this.#handler(name).type, this.#program(name)));
  }

  async #open(name: string): Promise<OciRuntime> {
    const { type, args = [] } = this.#handler(name);
    const root = this.#paths.runtimeRoot(name);
    const path = this.#program(name);
    const all = [`--root=${root}`, ...(this.#systemdCgroups ? ['--systemd-cgroup'] : []), ...(type === 'runsc' ? RUNSC_ARGS : []), ...args];
    const isQuick = type === 'crun' && isAtLeast(await crunVersion(name, path), QUICK_CRUN);
    const program = { name, type, path, root, args: all };
    return isQuick ? new QuickCrun({ ...program, link: `${this.#paths.programs}/${name}/crun` }) : new ProgramRuntime(program);
  }

  #handler(name: string): RuntimeHandler {
    const handler = this.#handlers[name];
    if (handler) return handler;
    throw new UmiakError('Invalid', `no runtime for "${name}" is configured: this node has ${this.names().join(', ')}`, {
      hint: 'Name it in `runtimes` of the configuration file.',
    });
  }

  #program(name: string): string {
    const handler = this.#handler(name);
    const path = findProgram(handler);
    if (path !== undefined) return path;
    throw new UmiakError('ServiceUnavailable', `${handler.path ?? handler.type} is not installed`, {
      hint: handler.path === undefined ? `Install the package ${handler.type}.` : `Mend \`runtimes.${name}.path\`.`,
    });
  }
}

/**
 * gVisor's containers use the sockets of their pod's network namespace: its own network stack would take the address from the
 * namespace, and a pod's second container, or the same one started again, would find none. What they write goes to the writable layer.
 */
const RUNSC_ARGS = ['--network=host', '--overlay2=none'];

type Program = Pick<OciRuntime, 'name' | 'type' | 'path' | 'root' | 'args'>;

/** Any OCI runtime, by the verbs of its command line. */
class ProgramRuntime implements OciRuntime {
  readonly name: string;
  readonly type: RuntimeType;
  readonly root: string;
  readonly args: readonly string[];
  readonly takesBpf: boolean = false;
  readonly hasHostProcesses: boolean;
  readonly #path: string;

  constructor({ name, type, path, root, args }: Program) {
    this.name = name;
    this.type = type;
    this.#path = path;
    this.root = root;
    this.args = args;
    this.hasHostProcesses = type === 'crun' || type === 'runc';
  }

  get path(): string {
    return this.#path;
  }

  async start(id: string): Promise<void> {
    await this.#do('start', id);
  }

  async signal({ id, init }: Pick<ContainerRecord, 'id' | 'init'>, signal: number): Promise<void> {
    if (!this.hasHostProcesses) await this.#do('kill', id, String(signal));
    else if (init) signalProcess(init, signal);
  }

  async killExec(id: string, pid: number): Promise<void> {
    if (this.type === 'runsc') await this.#do('kill', `--pid=${pid}`, id, 'KILL');
  }

  async #do(verb: string, ...rest: string[]): Promise<void> {
    try {
      await run(this.path, [...this.args, verb, ...rest], { timeout: TIMEOUT_MS, killSignal: 'SIGKILL' });
    } catch (error) {
      const { stderr = '' } = error as { stderr?: string };
      throw new UmiakError('InternalError', stderr.trim().split('\n').at(-1) || `${this.name} ${verb} did not end`, { cause: error });
    }
  }
}

/** A crun that takes compiled filters, and whose containers wait at a fifo that we can open ourselves. */
class QuickCrun extends ProgramRuntime {
  override readonly takesBpf = true;
  readonly #sealed: SealedProgram;

  constructor({ link, ...program }: Program & { link: string }) {
    super(program);
    this.#sealed = new SealedProgram({ program: program.path, link });
  }

  override get path(): string {
    return this.#sealed.path;
  }

  /** All that `crun start` does without start hooks: open, unlink, one byte. */
  override async start(id: string): Promise<void> {
    const fifo = `${this.root}/${id}/exec.fifo`;
    if (writeFifo(fifo, '\0', () => unlinkSync(fifo))) return;
    await super.start(id); // its first process has not come to the fifo yet; this waits for it
  }
}

function findProgram({ type, path }: RuntimeHandler): string | undefined {
  return (path === undefined ? DIRECTORIES.map(directory => `${directory}/${type}`) : [path]).find(existsSync);
}

/** Undefined for a program that is called crun and is something else. @throws ServiceUnavailable when it does not run */
async function crunVersion(name: string, path: string): Promise<string | undefined> {
  try {
    const { stdout } = await run(path, ['--version'], { timeout: TIMEOUT_MS, killSignal: 'SIGKILL' });
    return /^crun version (\S+)/m.exec(stdout)?.[1];
  } catch (error) {
    throw new UmiakError('ServiceUnavailable', `the runtime ${name} (${path}) does not run`, { cause: error });
  }
}

function isAtLeast(version: string | undefined, [wantedMajor, wantedMinor]: readonly [number, number]): boolean {
  const [major = 0, minor = 0] = (version ?? '').split('.').map(Number);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}

/** What failed is tried again at the next call. */
function once<T>(known: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  const found = known.get(key);
  if (found) return found;
  const made = make();
  known.set(key, made);
  made.catch(() => known.delete(key));
  return made;
}
