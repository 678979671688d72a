/** Where the history stood at a moment. `bytes` counts everything ever written, so that differences are sizes. */
export interface Mark {
  revision: number;
  atMs: number;
  bytes: number;
}

export interface CompactionWindow {
  windowMs: number;
  windowBytes: number;
}

/**
 * The revision to forget the past of, so that no more than the window is kept: the newest mark that lies behind the window's
 * time or behind its size. Undefined when nothing is that old. `marks` are in order of revision.
 */
export function planCompaction(marks: readonly Mark[], now: { atMs: number; bytes: number }, window: CompactionWindow): number | undefined {
  return marks.findLast(mark => now.atMs - mark.atMs >= window.windowMs || now.bytes - mark.bytes >= window.windowBytes)?.revision;
}
