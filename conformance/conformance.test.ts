import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planImages } from './images.ts';
import { formatFailures, formatSummary, type Result, readGinkgoReport } from './report.ts';
import { chooseSpecs, parseSpecs, toFocus } from './specs.ts';

const LISTING = `
- testname: second
  codename: '[sig-node] Pods should run [NodeConformance] [Conformance]'
- testname: first
  codename: '[sig-apps] Job should finish [Serial] [Conformance]'
- testname: third
  codename: '[sig-node] Secrets should be there (x|y) [Conformance]'
`;

test('specs are read with their areas, ordered, and chosen by area and expressions', () => {
  const specs = parseSpecs(LISTING);
  assert.deepEqual(
    specs.map(({ area, isSerial }) => [area, isSerial]),
    [
      ['apps', true],
      ['node', false],
      ['node', false],
    ],
  );
  const names = (choice: Parameters<typeof chooseSpecs>[1]) => chooseSpecs(specs, choice).map(({ name }) => name.split(' ')[1]);
  assert.deepEqual(names({}), ['Job', 'Pods', 'Secrets']);
  assert.deepEqual(names({ area: 'sig-node, storage' }), ['Pods', 'Secrets']);
  assert.deepEqual(names({ focus: 'should (run|finish)', skip: 'Serial' }), ['Pods']);
});

test('the focus of a spec finds it and none whose name only begins like it', () => {
  const focus = new RegExp(toFocus('[sig-node] Secrets (x|y) [Conformance]'));
  assert.ok(focus.test('Kubernetes e2e suite [sig-node] Secrets (x|y) [Conformance]'));
  assert.ok(!focus.test('Kubernetes e2e suite [sig-node] Secrets (x|y) [Conformance] and more'));
});

test('images are made once for all their names; what must stay absent and what is unknown is left out', () => {
  const asked = [
    'registry.k8s.io/e2e-test-images/agnhost:2.55',
    'registry.k8s.io/e2e-test-images/agnhost:2.63.0',
    'gcr.io/k8s-authenticated-test/agnhost:2.6',
    'invalid.registry.k8s.io/invalid/alpine:3.1',
    'registry.k8s.io/pause:3.10.2',
    'registry.k8s.io/etcd:3.6.8-0',
  ];
  assert.deepEqual(planImages(asked), [
    { definition: 'agnhost', names: asked.slice(0, 2) },
    { definition: 'pause', names: ['registry.k8s.io/pause:3.10.2'] },
  ]);
});

test("a report's only spec that ran is the result; its message becomes one line with its place", () => {
  const [spec] = parseSpecs(LISTING);
  assert.ok(spec);
  const of = (...its: object[]) =>
    readGinkgoReport(spec, JSON.stringify([{ SpecReports: its.map(it => ({ LeafNodeType: 'It', RunTime: 2e9, ...it })) }]));
  const failure = { Message: 'expected\n\n    1', Location: { FileName: '/go/x/e2e/apps/job.go', LineNumber: 7 } };
  const other = { State: 'skipped' };
  assert.deepEqual(of(other, { State: 'passed' }), { spec, state: 'passed', seconds: 2, reason: '' });
  assert.equal(of(other, { State: 'panicked', Failure: failure })?.reason, 'expected | 1 (apps/job.go:7)');
  assert.equal(of(other, { State: 'timedout', Failure: failure })?.state, 'failed');
  assert.equal(of(other, { State: 'skipped', Failure: failure })?.state, 'skipped');
  assert.equal(of(other), undefined);
  assert.equal(readGinkgoReport(spec, '[{"SpecReports":['), undefined, 'half a report');
});

test('the summary counts by area; the list of failures leaves out what passed', () => {
  const [spec, other] = parseSpecs(LISTING);
  assert.ok(spec && other);
  const results: Result[] = [
    { spec, state: 'failed', seconds: 3, reason: 'why' },
    { spec: other, state: 'passed', seconds: 1, reason: '' },
  ];
  const rows = formatSummary(results)
    .split('\n')
    .map(row =>
      row
        .split('|')
        .map(cell => cell.trim())
        .slice(1, -1)
        .join(' '),
    );
  assert.deepEqual(rows, ['area passed failed skipped not run', 'apps 0 1 0 0', 'node 1 0 0 0', 'all 1 1 0 0', '']);
  assert.equal(formatFailures(results), `failed\t3 s\t${spec.name}\n\twhy\n`);
});
