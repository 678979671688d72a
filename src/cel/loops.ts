import { BudgetExceeded, CelError, Pause } from './errors.ts';
import { bool, type Frame, type Run } from './evaluate.ts';
import type { Loop } from './nodes.ts';
import { CelList, CelMap, type CelValue, ValueList, ValueMap } from './values.ts';

/** The compiled parts of a comprehension. */
interface Parts {
  range: Run;
  filter: Run | undefined;
  step: Run;
}

/** What a comprehension makes of its elements. */
interface Collector {
  /** Takes the next element, which has an index or key; true ends the loop. */
  take(frame: Frame, at: CelValue): boolean;
  result(): CelValue;
}

/** How far a loop has come, in an evaluation that pauses. */
export interface Progress {
  readonly loop: Loop;
  readonly over: CelList | CelMap;
  readonly keys: readonly CelValue[] | undefined;
  readonly collector: Collector;
  at: number;
  /** Gives the result, or throws what the loop failed with, once it has ended. */
  outcome: (() => CelValue) | undefined;
}

/**
 * A comprehension as a closure. Between two elements it may pause; then the whole expression is evaluated anew, in which every loop
 * goes on where it was: `frame.loops` has those within which it paused and those before them, in the order in which they are come to.
 */
export function runLoop(loop: Loop, parts: Parts): Run {
  const collect = collectorOf(loop, parts.step);
  return frame => {
    const { loops } = frame;
    if (!loops) return walk(begin(loop, parts.range, collect, frame), parts, frame);
    const place = frame.place;
    let progress = loops[place];
    if (progress?.loop !== loop) {
      progress = begin(loop, parts.range, collect, frame);
      loops.splice(place, loops.length, progress); // the loops of its range are over
      frame.budget.returned();
    } else if (place === loops.length - 1) frame.budget.returned();
    frame.place = place + 1;
    progress.outcome ??= outcomeOf(progress, parts, frame, place + 1);
    return progress.outcome();
  };
}

function begin(loop: Loop, range: Run, collect: () => Collector, frame: Frame): Progress {
  const over = range(frame);
  if (!(over instanceof CelList || over instanceof CelMap)) throw new CelError('no such overload');
  return { loop, over, keys: over instanceof CelMap ? [...over.keys()] : undefined, collector: collect(), at: 0, outcome: undefined };
}

/** Goes through what is left of a loop. */
function outcomeOf(progress: Progress, parts: Parts, frame: Frame, within: number): () => CelValue {
  let outcome: () => CelValue;
  try {
    const result = walk(progress, parts, frame, within);
    outcome = () => result;
  } catch (error) {
    if (!(error instanceof CelError)) throw error;
    outcome = () => {
      throw error;
    };
  }
  frame.loops!.length = frame.place = within;
  return outcome;
}

/** Sets the variables for each element in turn, and has those that pass the filter taken; `within` is the place of loops within. */
function walk(progress: Progress, { filter }: Parts, frame: Frame, within?: number): CelValue {
  const { over, keys, collector, loop } = progress;
  const { locals, budget } = frame;
  const length = keys?.length ?? (over as CelList).length;
  for (let isFirst = true; progress.at < length; progress.at++, isFirst = false) {
    if (within !== undefined && !isFirst) {
      frame.loops!.length = frame.place = within;
      budget.mayPause();
    }
    budget.charge(2);
    bindElement(loop, locals, over, keys, progress.at);
    if ((!filter || bool(filter(frame))) && collector.take(frame, locals[loop.first] as CelValue)) break;
  }
  return collector.result();
}

function bindElement({ first, second }: Loop, locals: CelValue[], over: CelList | CelMap, keys: Progress['keys'], at: number): void {
  if (over instanceof CelList) {
    const item = over.at(at);
    if (second === undefined) locals[first] = item;
    else {
      locals[first] = BigInt(at);
      locals[second] = item;
    }
  } else {
    const key = keys![at] as CelValue;
    locals[first] = key;
    if (second !== undefined) locals[second] = over.get(key) as CelValue;
  }
}

function collectorOf({ macro }: Loop, step: Run): () => Collector {
  switch (macro) {
    case 'all':
      return () => new Quantifier(step, false);
    case 'exists':
      return () => new Quantifier(step, true);
    case 'existsOne':
      return () => {
        let count = 0;
        return {
          take(frame) {
            if (bool(step(frame))) count++;
            return false;
          },
          result: () => count === 1,
        };
      };
    case 'list':
      return () => {
        const items: CelValue[] = [];
        return {
          take(frame) {
            items.push(step(frame));
            return false;
          },
          result: () => new ValueList(items),
        };
      };
    case 'mapValues':
      return () => {
        const entries: [CelValue, CelValue][] = [];
        return {
          take(frame, key) {
            entries.push([key, step(frame)]);
            return false;
          },
          result: () => new ValueMap(entries),
        };
      };
    case 'mapEntries':
      return () => new EntryCollector(step);
  }
}

/** `all` and `exists` end as soon as one element decides, and a decisive one hides the others' failures. */
class Quantifier implements Collector {
  readonly #step: Run;
  readonly #decisive: boolean;
  #failure: unknown;
  #isDecided = false;

  constructor(step: Run, decisive: boolean) {
    this.#step = step;
    this.#decisive = decisive;
  }

  take(frame: Frame): boolean {
    try {
      this.#isDecided = bool(this.#step(frame)) === this.#decisive;
    } catch (error) {
      if (error instanceof BudgetExceeded || error instanceof Pause) throw error;
      this.#failure ??= error;
    }
    return this.#isDecided;
  }

  result(): CelValue {
    if (this.#isDecided) return this.#decisive;
    if (this.#failure !== undefined) throw this.#failure;
    return !this.#decisive;
  }
}

/** The entries of small maps as one map, in which no key may stand twice. */
class EntryCollector implements Collector {
  readonly #step: Run;
  readonly #entries: [CelValue, CelValue][] = [];
  readonly #seen = new Set<CelValue>();

  constructor(step: Run) {
    this.#step = step;
  }

  take(frame: Frame): boolean {
    const made = this.#step(frame);
    if (!(made instanceof CelMap)) throw new CelError('no such overload');
    for (const key of made.keys()) {
      if (this.#seen.has(key)) throw new CelError(`insert failed: key ${String(key)} already exists`);
      this.#seen.add(key);
      this.#entries.push([key, made.get(key) as CelValue]);
    }
    return false;
  }

  result(): CelValue {
    return new ValueMap(this.#entries);
  }
}
