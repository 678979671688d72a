import { existsSync, mkdirSync, renameSync, rmSync, watch } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { basename, dirname } from 'node:path';
import { UmiakError } from '#base/errors.ts';

/** What a process of the instance says of itself: a line of JSON at every change. */
export interface ProcessState {
  role: 'server' | 'agent';
  pid: number;
  version: string;
  state: 'starting' | 'ready' | 'stopping';
  /** Addresses and figures for `umiak status`. */
  details?: Record<string, unknown>;
}

/**
 * The socket on which a process says how it is. Whoever is connected learns of its end by the end of the connection: no pid is polled.
 */
export class ControlSocket implements AsyncDisposable {
  readonly #server: Server;
  readonly #path: string;
  readonly #peers = new Set<Socket>();
  #state: ProcessState;

  private constructor(path: string, state: ProcessState) {
    this.#path = path;
    this.#state = state;
    this.#server = createServer(peer => {
      this.#peers.add(peer);
      peer.on('error', () => {});
      peer.on('close', () => this.#peers.delete(peer));
      peer.resume();
      peer.write(`${JSON.stringify(this.#state)}\n`);
    });
    this.#server.unref();
  }

  /** Call with the process's lock held: a socket file that is there is a dead process's. */
  static async open(path: string, state: ProcessState): Promise<ControlSocket> {
    const control = new ControlSocket(path, state);
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    rmSync(`${path}.new`, { force: true });
    const before = process.umask(0o117);
    try {
      await new Promise<void>((resolve, reject) => {
        control.#server.once('error', reject);
        control.#server.listen(`${path}.new`, resolve);
      });
    } finally {
      process.umask(before);
    }
    // Its name appears only when it listens, for those who wait for the name.
    renameSync(`${path}.new`, path);
    return control;
  }

  say(change: Partial<ProcessState>): void {
    this.#state = { ...this.#state, ...change };
    for (const peer of this.#peers) peer.write(`${JSON.stringify(this.#state)}\n`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.#path, { force: true });
    this.#server.close();
    for (const peer of this.#peers) peer.destroy();
  }
}

export interface Listening {
  /** Ends when the process ends, or with the signal that was given. */
  readonly ended: Promise<void>;
}

/** Calls `receive` with every state of the process behind `path`. Resolves when connected; undefined if nobody listens there. */
export function listenTo(path: string, receive: (state: ProcessState) => void, signal?: AbortSignal): Promise<Listening | undefined> {
  const { promise, resolve } = Promise.withResolvers<Listening | undefined>();
  const socket = connect(path);
  const ended = new Promise<void>(end => socket.once('close', () => end()));
  let rest = '';
  socket.setEncoding('utf8');
  socket.once('connect', () => resolve({ ended }));
  socket.once('error', () => resolve(undefined));
  socket.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) receive(JSON.parse(line));
  });
  signal?.addEventListener('abort', () => socket.destroy(), { once: true });
  return promise;
}

export interface Follower {
  onState(state: ProcessState): void;
  /** With what it said last; undefined when it was gone before it said anything: a killed one leaves its name behind. */
  onEnd?(last: ProcessState | undefined): void;
}

export interface Following extends Disposable {
  /** Somebody is listened to. */
  readonly isConnected: boolean;
}

/** Listens to whoever is behind `path`, now or as soon as the name appears, one process after the other, until disposed. */
export function followProcess(path: string, { onState, onEnd }: Follower): Following {
  const abort = new AbortController();
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  let isBusy = false;
  let isConnected = false;
  let hasAppeared = false;
  const follow = async () => {
    // The name may appear between an attempt and its refusal.
    hasAppeared = true;
    if (isBusy) return;
    isBusy = true;
    while (hasAppeared && !abort.signal.aborted) {
      hasAppeared = false;
      let last: ProcessState | undefined;
      const receive = (state: ProcessState) => {
        last = state;
        onState(state);
      };
      const listening = await listenTo(path, receive, abort.signal);
      isConnected = listening !== undefined;
      await listening?.ended;
      isConnected = false;
      if (!abort.signal.aborted && (listening || (!hasAppeared && existsSync(path)))) onEnd?.(last);
    }
    isBusy = false;
  };
  const watcher = watch(dirname(path), (_event, name) => {
    if (name === basename(path)) void follow();
  });
  void follow();
  return {
    get isConnected() {
      return isConnected;
    },
    [Symbol.dispose]() {
      abort.abort();
      watcher.close();
    },
  };
}

/** What the process behind `path` says of itself now; undefined if there is none. */
export async function stateNow(path: string): Promise<ProcessState | undefined> {
  const { promise, resolve } = Promise.withResolvers<ProcessState | undefined>();
  const stop = new AbortController();
  const listening = await listenTo(path, resolve, stop.signal);
  if (!listening) return undefined;
  void listening.ended.then(() => resolve(undefined));
  const state = await promise;
  stop.abort();
  return state;
}

export interface WhenOptions {
  /** What is waited for; default: it says that it is ready. */
  accept?: (state: ProcessState) => boolean;
  /** Default: as long as it takes. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

/**
 * Waits until the process behind `path` says what is waited for, from before its socket exists. One that ends is waited for again,
 * since it may be started again, unless there is a deadline.
 * @throws `ServiceUnavailable` when it ends before, `Timeout` when it takes longer than `timeoutMs`
 */
export async function whenState(
  path: string,
  { accept = state => state.state === 'ready', timeoutMs, signal }: WhenOptions = {},
): Promise<ProcessState> {
  const { promise, resolve, reject } = Promise.withResolvers<ProcessState>();
  const role = basename(path, '.sock');
  const end = AbortSignal.any([...(signal ? [signal] : []), ...(timeoutMs === undefined ? [] : [AbortSignal.timeout(timeoutMs)])]);
  const giveUp = () => reject(new UmiakError('Timeout', `${role} did not get so far in time`));
  end.addEventListener('abort', giveUp, { once: true });
  if (end.aborted) giveUp();
  using _following = followProcess(path, {
    onState: state => (accept(state) ? resolve(state) : undefined),
    onEnd(last) {
      if (last && timeoutMs !== undefined) reject(new UmiakError('ServiceUnavailable', `the ${role} ended before it was ready`));
    },
  });
  try {
    return await promise;
  } finally {
    end.removeEventListener('abort', giveUp);
  }
}
