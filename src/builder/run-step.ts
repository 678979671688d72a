import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { UmiakError } from '#base/errors.ts';
import { newUid } from '#base/ids.ts';
import type { Container, ContainerConfig, Engine, EngineEvent, Resources, Sandbox } from '#engine/index.ts';
import type { RunOperation } from './graph.ts';

/** How containers of steps run; no part of what a step is. */
export interface RunOptions {
  /** The engine's own (`pod` when absent), or that of another sandbox. */
  network?: 'pod' | 'host' | 'none' | { of: string };
  shmSizeBytes?: number;
  /** `/etc/hosts` and `/etc/resolv.conf` of a container with that name and address. */
  files?: (own: { hostname: string; address: string | undefined }) => { hosts: string; resolvConf: string };
  /** Puts it into other networks before its command starts; disposing takes it out. */
  attach?: (step: RunningStep) => Promise<AsyncDisposable>;
  resources?: Resources;
  rlimits?: ContainerConfig['rlimits'];
  cgroupParent?: string;
}

/** A step's container, which has not started yet. */
export interface RunningStep {
  sandbox: Sandbox;
  container: Container;
  hostname: string;
}

export interface RunStepOptions {
  engine: Engine;
  operation: RunOperation;
  /** Top first. */
  lowerDirs: string[];
  run: RunOptions;
  signal: AbortSignal;
  onStart: (containerId: string) => void;
  onOutput: (chunk: Buffer, stream: 'stdout' | 'stderr') => void;
}

/** A command that ended; its files are in `files` until `discard`. */
export interface RanStep extends AsyncDisposable {
  /** In overlay's upper form. */
  files: string;
}

/**
 * Runs a step's command in a container of its own, until it ends. `lowerDirs` must stay where they are until `onStart` is called.
 * @throws Invalid in docker's words for a command that fails; the reason of `signal` when it is aborted; the container is gone then
 */
export async function runStep({ engine, operation, lowerDirs, run, signal, onStart, onOutput }: RunStepOptions): Promise<RanStep> {
  signal.throwIfAborted();
  const uid = newUid();
  const hostname = uid.replaceAll('-', '').slice(0, 12);
  const sandbox = await engine.createSandbox({
    owner: 'docker',
    metadata: { name: `build-${uid}`, namespace: 'build', uid, attempt: 0 },
    hostname,
    ...(typeof run.network === 'object' ? { network: 'sandbox', networkOf: run.network.of } : { network: run.network ?? 'pod' }),
    internal: true,
    ...(run.shmSizeBytes !== undefined ? { shmSizeBytes: run.shmSizeBytes } : {}),
    ...(run.cgroupParent ? { cgroupParent: run.cgroupParent } : {}),
  });
  let attached: AsyncDisposable | undefined;
  const discard = async () => {
    try {
      await attached?.[Symbol.asyncDispose]();
    } finally {
      attached = undefined;
      await engine.removeSandbox(sandbox.id);
    }
  };
  try {
    if (run.files) await engine.setSandboxFiles(sandbox.id, run.files({ hostname, address: sandbox.address }));
    const container = await engine.createContainer(configOf(sandbox.id, operation, lowerDirs, run));
    attached = await run.attach?.({ sandbox, container, hostname });
    const ended = untilEnded(engine, container.id);
    const output = readOutput(engine, container.id, onOutput);
    output.catch(() => {}); // a start that fails says why
    onStart(container.id);
    const abort = () => void engine.stopContainer(container.id, { graceMs: 0 }).catch(() => {});
    await engine.startContainer(container.id);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    try {
      await Promise.all([ended, output]);
    } finally {
      signal.removeEventListener('abort', abort);
    }
    signal.throwIfAborted();
    const { exitCode = 0, reason } = engine.container(container.id) ?? {};
    if (exitCode !== 0) throw failed(operation, exitCode, reason);
    const files = engine.writableDirectory(container.id);
    if (basename(files) !== 'upper' || !existsSync(files))
      throw new UmiakError('NotImplemented', 'images are built where overlayfs works; here containers get copies of their images');
    return { files, [Symbol.asyncDispose]: discard };
  } catch (error) {
    await discard();
    throw error;
  }
}

function configOf(
  sandboxId: string,
  { args, env, hiddenEnv, workingDir, user }: RunOperation,
  lowerDirs: string[],
  run: RunOptions,
): ContainerConfig {
  return {
    sandboxId,
    metadata: { name: 'step', attempt: 0 },
    image: 'build',
    layers: { lowerDirs, defaults: {} },
    command: args,
    env: [...env, ...hiddenEnv].map(entry => ({ name: entry.split('=', 1)[0] ?? '', value: entry.slice(entry.indexOf('=') + 1) })),
    workingDir,
    security: { user, seccomp: 'runtime/default' },
    internal: true,
    ...(run.resources ? { resources: run.resources } : {}),
    ...(run.rlimits ? { rlimits: run.rlimits } : {}),
  };
}

function untilEnded(engine: Engine, id: string): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const subscription = engine.subscribe(
    (event: EngineEvent) => {
      if (event.type === 'container' && event.container.id === id && (event.action === 'exited' || event.action === 'removed')) resolve();
    },
    { internal: true },
  );
  return promise.finally(() => subscription[Symbol.dispose]());
}

/** Resolves at the end of both streams. To be called before the start, so that nothing is missed. */
async function readOutput(engine: Engine, id: string, onOutput: RunStepOptions['onOutput']): Promise<void> {
  const { stdout, stderr } = await engine.attach(id, { stdin: false });
  const drain = async (stream: 'stdout' | 'stderr', source: AsyncIterable<Buffer> | undefined) => {
    for await (const chunk of source ?? []) onOutput(chunk, stream);
  };
  await Promise.all([drain('stdout', stdout as AsyncIterable<Buffer>), drain('stderr', stderr as AsyncIterable<Buffer> | undefined)]);
}

/** Docker's sentence, with the code for machines. */
function failed({ args }: RunOperation, exitCode: number, reason: string | undefined): UmiakError {
  const why = reason === 'OOMKilled' ? ' (it used up its memory)' : '';
  return new UmiakError('Invalid', `The command '${args.join(' ')}' returned a non-zero code: ${exitCode}${why}`, {
    details: { kind: 'build', causes: [{ reason: EXIT_CODE, message: String(exitCode), field: '' }] },
  });
}

const EXIT_CODE = 'ExitCode';

/** The exit code of the command for which a build failed, if it did for one. */
export function exitCodeOf(error: unknown): number | undefined {
  const cause = error instanceof UmiakError ? error.details.causes?.find(({ reason }) => reason === EXIT_CODE) : undefined;
  return cause && Number(cause.message);
}
