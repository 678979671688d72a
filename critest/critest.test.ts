import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatResults, readReport } from './report.ts';

test("ginkgo's report: what ran and what a spec skipped itself; not what the focus left out", () => {
  const it = (text: string, more: object) => ({
    LeafNodeType: 'It',
    ContainerHierarchyTexts: ['[k8s.io] X'],
    LeafNodeText: text,
    RunTime: 2e9,
    ...more,
  });
  const failure = { Message: 'expected\n\n    1', Location: { FileName: '/go/validate/pod.go', LineNumber: 7 } };
  const report = readReport(
    JSON.stringify([
      {
        SpecReports: [
          it('left out', { State: 'skipped' }),
          it('skips', { State: 'skipped', Failure: { Message: 'no AppArmor' } }),
          it('works', { State: 'passed' }),
          it('breaks', { State: 'panicked', Failure: failure }),
          { LeafNodeType: 'BeforeSuite', State: 'passed' },
        ],
      },
    ]),
  );
  assert.deepEqual(
    report.map(({ name, state, reason }) => [name, state, reason]),
    [
      ['[k8s.io] X breaks', 'failed', 'expected 1 (pod.go:7)'],
      ['[k8s.io] X skips', 'skipped', 'no AppArmor'],
      ['[k8s.io] X works', 'passed', ''],
    ],
  );
  assert.match(formatResults(report), /^1 passed, 1 failed, 1 skipped\nfailed\t2 s\t/);
});
