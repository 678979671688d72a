/** One test or subtest as it ended. */
export interface TestResult {
  /** `TestCreateByImageID/image_with_ID_as_tag` */
  name: string;
  state: 'passed' | 'failed' | 'skipped';
}

const LINE = /^ *--- (PASS|FAIL|SKIP): (\S+) \([\d.]+s\)$/gm;
const STATES = { PASS: 'passed', FAIL: 'failed', SKIP: 'skipped' } as const;

/** What a Go test program printed with `-test.v`, in the order of the tests' names. */
export function readResults(output: string): TestResult[] {
  return [...output.matchAll(LINE)]
    .map(([, state, name = '']) => ({ name, state: STATES[state as keyof typeof STATES] }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Failures that say something: not of a test that failed with one of its subtests; all of a test that is known as a whole are one. */
export function failuresOf(results: readonly TestResult[], known: readonly string[] = []): string[] {
  const failed = results.filter(({ state }) => state === 'failed').map(({ name }) => name);
  const leaves = failed.filter(name => !failed.some(other => other.startsWith(`${name}/`)));
  return [...new Set(leaves.map(name => known.find(each => name.startsWith(`${each}/`)) ?? name))].sort();
}

/** Tests of a package of Go whose functions, or those that they call, say one of the words. */
export function testsThatSay(source: string, words: readonly string[]): string[] {
  const functions = new Map(
    source.split(/^(?=func )/m).flatMap(text => [...text.matchAll(/^func (\w+)\(/g)].map(([, name = '']) => [name, text])),
  );
  const saying = new Set<string>();
  for (let before = -1; before < saying.size; ) {
    before = saying.size;
    const sought = [...words, ...[...saying].map(name => `${name}(`)];
    for (const [name, text] of functions) {
      const body = text.slice(text.indexOf('{'));
      if (sought.some(word => body.includes(word))) saying.add(name);
    }
  }
  return [...saying].filter(name => /^Test[A-Z]/.test(name));
}
