import type { ChildProcess } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { errorMonitor } from 'node:events';
import { check, declare, errno, SyscallError } from './libc.ts';
import { reap } from './process.ts';

const PR_SET_CHILD_SUBREAPER = 36;
const P_ALL = 0;
const WNOHANG = 0x1;
const WEXITED = 0x4;
const WNOWAIT = 0x1000000;
const __WNOTHREAD = 0x20000000;
const ECHILD = 10;
const EINTR = 4;
const SIGINFO_BYTES = 128;
/** Of `siginfo_t.si_pid`, on machines with words of 64 bits. */
const SI_PID = 16;
/** Where Node tells of each process that a module of ours starts. */
const STARTED = 'child_process';

const prctl = declare('int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)');
const waitid = declare('int waitid(int type, unsigned int id, void *info, int options)');

/**
 * While it lives, what our children leave behind comes to us and not to init, and is reaped when it ends: an init that reaps late or never
 * would hold up the end of containers that the left one is inside of.
 *
 * Whose a zombie is, the kernel knows. A process belongs to the thread that started it, and an orphan to the first thread, the one that runs
 * this: the children of `spawnProcess` are those of libuv's pool, a worker's are the worker's. What Node itself started here is known by its
 * own word, and left to it. So nothing that somebody waits for is taken, and no list of processes is read.
 */
export class Orphans implements Disposable {
  readonly #info = Buffer.alloc(SIGINFO_BYTES);
  readonly #nodes = new Set<ChildProcess>();
  readonly #look = () => this.#reapAll();
  readonly #started = (message: unknown) => this.#leaveToNode((message as { process: ChildProcess }).process);

  /** On the main thread, before it starts anything. @throws SyscallError */
  constructor() {
    check(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 'become the reaper of orphans');
    subscribe(STARTED, this.#started);
    process.on('SIGCHLD', this.#look);
    this.#reapAll();
  }

  #leaveToNode(child: ChildProcess): void {
    this.#nodes.add(child);
    const forget = () => {
      this.#nodes.delete(child);
      this.#reapAll(); // what stood behind it
    };
    child.once('exit', forget);
    child.once(errorMonitor, () => child.pid === undefined && forget()); // it could not be started
  }

  #reapAll(): void {
    for (let pid = this.#ended(); pid > 0 && !this.#isNodes(pid); pid = this.#ended()) reap(pid, { block: false });
  }

  /** The first zombie of this thread, left where it is; 0 when there is none. */
  #ended(): number {
    this.#info.fill(0);
    while (waitid(P_ALL, 0, this.#info, WEXITED | WNOHANG | WNOWAIT | __WNOTHREAD) < 0) {
      if (errno() === ECHILD) return 0;
      if (errno() !== EINTR) throw new SyscallError('look for orphans', errno());
    }
    return this.#info.readInt32LE(SI_PID);
  }

  #isNodes(pid: number): boolean {
    for (const child of this.#nodes) if (child.pid === pid) return true;
    return false;
  }

  [Symbol.dispose](): void {
    process.off('SIGCHLD', this.#look);
    unsubscribe(STARTED, this.#started);
    prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
  }
}
