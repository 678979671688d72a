import { BudgetExceeded, CelError } from './errors.ts';
import { bool, type Frame, type Run } from './evaluate.ts';
import type { Loop } from './nodes.ts';
import { CelList, CelMap, type CelValue, ValueList, ValueMap } from './values.ts';

/** The compiled parts of a comprehension. */
interface Parts {
  range: Run;
  filter: Run | undefined;
  step: Run;
}

/** What is done with an element, given its index or key; true ends the loop. */
type Visit = (at: CelValue) => boolean | undefined;

/** A comprehension as a closure. `all` and `exists` end as soon as one element decides, and a decisive one hides the others' failures. */
export function runLoop(loop: Loop, parts: Parts): Run {
  const { step } = parts;
  switch (loop.macro) {
    case 'all':
      return quantify(loop, parts, false);
    case 'exists':
      return quantify(loop, parts, true);
    case 'existsOne':
      return frame => {
        let count = 0;
        walk(loop, parts, frame, () => {
          if (bool(step(frame))) count++;
          return false;
        });
        return count === 1;
      };
    case 'list':
      return frame => {
        const items: CelValue[] = [];
        walk(loop, parts, frame, () => {
          items.push(step(frame));
          return false;
        });
        return new ValueList(items);
      };
    case 'mapValues':
      return frame => {
        const entries: [CelValue, CelValue][] = [];
        walk(loop, parts, frame, key => {
          entries.push([key, step(frame)]);
          return false;
        });
        return new ValueMap(entries);
      };
    case 'mapEntries':
      return frame => mapEntries(loop, parts, frame);
  }
}

function quantify(loop: Loop, parts: Parts, decisive: boolean): Run {
  const { step } = parts;
  return frame => {
    let failure: unknown;
    let isDecided = false;
    walk(loop, parts, frame, () => {
      try {
        isDecided = bool(step(frame)) === decisive;
      } catch (error) {
        if (error instanceof BudgetExceeded) throw error;
        failure ??= error;
      }
      return isDecided;
    });
    if (isDecided) return decisive;
    if (failure !== undefined) throw failure;
    return !decisive;
  };
}

function mapEntries(loop: Loop, parts: Parts, frame: Frame): CelValue {
  const entries: [CelValue, CelValue][] = [];
  const seen = new Set<CelValue>();
  walk(loop, parts, frame, () => {
    const made = parts.step(frame);
    if (!(made instanceof CelMap)) throw new CelError('no such overload');
    for (const key of made.keys()) {
      if (seen.has(key)) throw new CelError(`insert failed: key ${String(key)} already exists`);
      seen.add(key);
      entries.push([key, made.get(key) as CelValue]);
    }
    return false;
  });
  return new ValueMap(entries);
}

/** Sets the variables for each element in turn, and visits those that pass the filter. */
function walk(loop: Loop, { range, filter }: Parts, frame: Frame, visit: Visit): void {
  const over = range(frame);
  const { first, second } = loop;
  const { locals, budget } = frame;
  if (over instanceof CelList) {
    for (let index = 0; index < over.length; index++) {
      budget.charge(2);
      const item = over.at(index);
      if (second === undefined) locals[first] = item;
      else {
        locals[first] = BigInt(index);
        locals[second] = item;
      }
      if ((!filter || bool(filter(frame))) && visit(second === undefined ? null : (locals[first] as CelValue))) return;
    }
  } else if (over instanceof CelMap) {
    for (const key of over.keys()) {
      budget.charge(2);
      locals[first] = key;
      if (second !== undefined) locals[second] = over.get(key) as CelValue;
      if ((!filter || bool(filter(frame))) && visit(key)) return;
    }
  } else throw new CelError('no such overload');
}
