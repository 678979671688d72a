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

/** A comprehension as a closure. `all` and `exists` end as soon as one element decides, and a decisive one hides the others' failures. */
export function runLoop(loop: Loop, parts: Parts): Run {
  switch (loop.macro) {
    case 'all':
      return quantify(loop, parts, false);
    case 'exists':
      return quantify(loop, parts, true);
    case 'existsOne':
      return frame => {
        let count = 0;
        for (const _ of each(loop, parts, frame)) if (bool(parts.step(frame))) count++;
        return count === 1;
      };
    case 'list':
      return frame => {
        const items: CelValue[] = [];
        for (const _ of each(loop, parts, frame)) items.push(parts.step(frame));
        return new ValueList(items);
      };
    case 'mapValues':
      return frame => {
        const entries: [CelValue, CelValue][] = [];
        for (const key of each(loop, parts, frame)) entries.push([key, parts.step(frame)]);
        return new ValueMap(entries);
      };
    case 'mapEntries':
      return frame => mapEntries(loop, parts, frame);
  }
}

function quantify(loop: Loop, parts: Parts, decisive: boolean): Run {
  return frame => {
    let failure: unknown;
    for (const _ of each(loop, parts, frame)) {
      try {
        if (bool(parts.step(frame)) === decisive) return decisive;
      } catch (error) {
        if (error instanceof BudgetExceeded) throw error;
        failure ??= error;
      }
    }
    if (failure !== undefined) throw failure;
    return !decisive;
  };
}

function mapEntries(loop: Loop, parts: Parts, frame: Frame): CelValue {
  const entries: [CelValue, CelValue][] = [];
  const seen = new Set<CelValue>();
  for (const _ of each(loop, parts, frame)) {
    const made = parts.step(frame);
    if (!(made instanceof CelMap)) throw new CelError('no such overload');
    for (const key of made.keys()) {
      if (seen.has(key)) throw new CelError(`insert failed: key ${String(key)} already exists`);
      seen.add(key);
      entries.push([key, made.get(key) as CelValue]);
    }
  }
  return new ValueMap(entries);
}

/** Sets the variables for each element that passes the filter; gives the index or key. */
function* each(loop: Loop, { range, filter }: Parts, frame: Frame): Generator<CelValue> {
  const over = range(frame);
  const { first, second } = loop;
  const { locals, budget } = frame;
  if (over instanceof CelList) {
    for (let index = 0; index < over.length; index++) {
      budget.charge(2);
      if (second === undefined) locals[first] = over.at(index);
      else {
        locals[first] = BigInt(index);
        locals[second] = over.at(index);
      }
      if (!filter || bool(filter(frame))) yield second === undefined ? BigInt(index) : (locals[first] as CelValue);
    }
  } else if (over instanceof CelMap) {
    for (const key of over.keys()) {
      budget.charge(2);
      locals[first] = key;
      if (second !== undefined) locals[second] = over.get(key) as CelValue;
      if (!filter || bool(filter(frame))) yield key;
    }
  } else throw new CelError('no such overload');
}
