/** One spec as it ended. */
export interface SpecResult {
  name: string;
  state: 'passed' | 'failed' | 'skipped';
  seconds: number;
  /** Why it failed or was skipped, in critest's words. */
  reason: string;
}

interface GinkgoSpec {
  LeafNodeType: string;
  ContainerHierarchyTexts: string[] | null;
  LeafNodeText: string;
  State: string;
  RunTime: number;
  Failure?: { Message?: string; Location?: { FileName?: string; LineNumber?: number } };
}

const REASON_LENGTH = 400;

/** All specs of ginkgo's JSON report but those left out by its focus, in the order of their names. */
export function readReport(text: string): SpecResult[] {
  const suites = JSON.parse(text) as { SpecReports: GinkgoSpec[] | null }[];
  return suites
    .flatMap(({ SpecReports }) => SpecReports ?? [])
    .filter(({ LeafNodeType, State, Failure }) => LeafNodeType === 'It' && (State !== 'skipped' || Failure?.Message))
    .map(toResult)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function toResult({ ContainerHierarchyTexts, LeafNodeText, State, RunTime, Failure }: GinkgoSpec): SpecResult {
  const { FileName: file = '', LineNumber: line = 0 } = Failure?.Location ?? {};
  const place = file === '' ? '' : ` (${file.split('/').at(-1)}:${line})`;
  const words = (Failure?.Message ?? '').split(/\s+/).join(' ').slice(0, REASON_LENGTH);
  return {
    name: [...(ContainerHierarchyTexts ?? []), LeafNodeText].join(' '),
    state: State === 'passed' || State === 'skipped' ? State : 'failed',
    seconds: RunTime / 1e9,
    reason: State === 'passed' ? '' : words + place,
  };
}

/** Counts in one line, then what did not pass. */
export function formatResults(results: readonly SpecResult[]): string {
  const count = (state: SpecResult['state']) => results.filter(result => result.state === state).length;
  const rest = results.filter(({ state }) => state !== 'passed');
  const lines = rest.map(({ state, seconds, name, reason }) => `${state}\t${seconds.toFixed(0)} s\t${name}\n\t${reason}\n`);
  return `${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped\n${lines.join('')}`;
}
