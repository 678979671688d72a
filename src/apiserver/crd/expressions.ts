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

/** What the language consists of, in parts that take a few milliseconds each to load. */
const PARTS = [
  () => import('#cel/values.ts'),
  () => import('#cel/libraries/regex.ts'),
  () => import('#cel/parse.ts'),
  () => import('#cel/libraries/core.ts'),
  () => import('#cel/libraries/conversions.ts'),
  () => import('#cel/libraries/strings.ts'),
  () => import('#cel/libraries/network.ts'),
  () => import('#cel/libraries/semver.ts'),
  () => import('#cel/libraries/formats.ts'),
  () => import('#cel/libraries/index.ts'),
  () => import('#cel/index.ts'),
];

/** A part a turn. */
async function load(): Promise<void> {
  for (const part of PARTS) {
    await part();
    await nextSlice();
  }
  const [cel, values, { regex, matchesPattern }] = await Promise.all([
    import('#cel/index.ts'),
    import('#cel/values.ts'),
    import('#cel/libraries/regex.ts'),
  ]);
  loaded = { cel, values, regex, matchesPattern };
}

/** What `loadExpressions` has loaded. */
export function expressions(): Expressions {
  if (!loaded) throw new UmiakError('InternalError', 'the expression language has not been loaded yet');
  return loaded;
}
