import { UmiakError } from '#base/errors.ts';
import { nextSlice } from '../slices.ts';

/** The parts of the expression language that schemas need: rules, and RE2 for patterns. Heavy, so loaded with the first object. */
export interface Expressions {
  cel: typeof import('#cel/index.ts');
  values: typeof import('#cel/values.ts');
  regex: typeof import('#cel/libraries/regex.ts').regex;
  matchesPattern: typeof import('#cel/libraries/regex.ts').matchesPattern;
}

let loaded: Expressions | undefined;
let loading: Promise<void> | undefined;

/** Undefined when they are there already. Every write of a custom resource or definition waits for them once. */
export function loadExpressions(): Promise<void> | undefined {
  if (loaded) return undefined;
  loading ??= load();
  return loading;
}

/** A part a turn: to load a module takes as long as it is large. */
async function load(): Promise<void> {
  const values = await import('#cel/values.ts');
  await nextSlice();
  const { regex, matchesPattern } = await import('#cel/libraries/regex.ts');
  await nextSlice();
  await import('#cel/parse.ts');
  await nextSlice();
  await import('#cel/libraries/network.ts');
  await nextSlice();
  await import('#cel/libraries/index.ts');
  await nextSlice();
  const cel = await import('#cel/index.ts');
  await nextSlice();
  loaded = { cel, values, regex, matchesPattern };
}

/** What `loadExpressions` has loaded. */
export function expressions(): Expressions {
  if (!loaded) throw new UmiakError('InternalError', 'the expression language has not been loaded yet');
  return loaded;
}
