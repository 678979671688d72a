import { UmiakError } from '#base/errors.ts';

/** The parts of the expression language that schemas need: rules, and RE2 for patterns. Heavy, so loaded with the first object. */
export interface Expressions {
  cel: typeof import('#cel/index.ts');
  values: typeof import('#cel/values.ts');
  regex: typeof import('#cel/libraries/regex.ts').regex;
}

let loaded: Expressions | undefined;
let loading: Promise<void> | undefined;

/** Undefined when they are there already. Every write of a custom resource or definition waits for them once. */
export function loadExpressions(): Promise<void> | undefined {
  if (loaded) return undefined;
  loading ??= load();
  return loading;
}

async function load(): Promise<void> {
  const [cel, values, regexes] = await Promise.all([import('#cel/index.ts'), import('#cel/values.ts'), import('#cel/libraries/regex.ts')]);
  loaded = { cel, values, regex: regexes.regex };
}

/** What `loadExpressions` has loaded. */
export function expressions(): Expressions {
  if (!loaded) throw new UmiakError('InternalError', 'the expression language has not been loaded yet');
  return loaded;
}

/** What tells whether a text matches a pattern of RE2 somewhere; compiled at the first text. */
export function patternOf(pattern: string): (text: string) => boolean {
  let compiled: ReturnType<Expressions['regex']> | undefined;
  return text => {
    compiled ??= expressions().regex(pattern);
    return compiled.matcher(text).find();
  };
}
