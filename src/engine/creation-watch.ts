import { readFileSync } from 'node:fs';
import type { Clock } from '#base/clock.ts';

/** A creation takes some milliseconds; one that has taken this long is looked into, again and again. */
const LOOK_MS = 1_000;
/** What hangs for this long, for instance on a mount that doesn't answer, is given up. */
const PATIENCE_MS = 60_000;

export interface CreationWatchOptions {
  id: string;
  /** With the monitor's `conmon.pid`. */
  bundle: string;
  clock: Clock;
  /** Called once, with why, when nothing will come of the creation. */
  onAbandoned: (why: string) => void;
}

/**
 * Watches over a creation that a monitor waits for without end: a runtime that is killed leaves the container's first process behind,
 * which waits for the runtime, and the monitor waits for that process.
 */
export function watchCreation({ id, bundle, clock, onAbandoned }: CreationWatchOptions): Disposable {
  const began = clock.monotonic();
  let wasAbandoned = false;
  let timer = clock.after(LOOK_MS, look);
  function look(): void {
    const isAbandoned = isWithoutRuntime(id, bundle);
    const isLate = clock.monotonic() - began > PATIENCE_MS;
    // A runtime that has just done its work is gone too, and the monitor about to say so.
    if (isAbandoned && wasAbandoned) onAbandoned('the runtime was killed while it created the container');
    else if (isLate) onAbandoned(`the runtime has not created the container in ${PATIENCE_MS / 1000} s`);
    else timer = clock.after(LOOK_MS, look);
    wasAbandoned = isAbandoned;
  }
  return { [Symbol.dispose]: () => timer[Symbol.dispose]() };
}

/** All that the monitor still has to do with are processes inside the container. */
function isWithoutRuntime(id: string, bundle: string): boolean {
  const monitor = read(`${bundle}/conmon.pid`).trim();
  if (monitor === '') return false;
  const children = read(`/proc/${monitor}/task/${monitor}/children`).split(' ').filter(Boolean);
  return children.length > 0 && children.every(pid => isInside(pid, id));
}

/** In its control group, or, before it comes there, in process ids of its own. */
function isInside(pid: string, id: string): boolean {
  const ids =
    /^NSpid:(.*)$/m
      .exec(read(`/proc/${pid}/status`))?.[1]
      ?.trim()
      .split(/\s+/) ?? [];
  return ids.length > 1 || read(`/proc/${pid}/cgroup`).includes(id);
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
