import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isUmiakError } from '#base/errors.ts';
import { builtinKinds } from '#kinds/registry.ts';
import { checkListOptions, checkWatchOptions, initialEventsOf, parseCount, parseRevision, tooLargeRevision } from './list-options.ts';
import { Resources } from './resources.ts';
import { parseSelection } from './selection.ts';
import { startOf } from './watch.ts';

const FORBIDDEN = 'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: ';
const lists: [query: string, refusal: string | undefined][] = [
  ['', undefined],
  ['resourceVersion=5', undefined],
  ['resourceVersion=5&resourceVersionMatch=Exact', undefined],
  ['resourceVersion=0&resourceVersionMatch=NotOlderThan', undefined],
  ['resourceVersionMatch=Exact', `${FORBIDDEN}resourceVersionMatch is forbidden unless resourceVersion is provided`],
  ['resourceVersion=0&resourceVersionMatch=Exact', `${FORBIDDEN}resourceVersionMatch "exact" is forbidden for resourceVersion "0"`],
  ['resourceVersion=1&continue=x&resourceVersionMatch=Exact', `${FORBIDDEN}resourceVersionMatch is forbidden when continue is provided`],
  [
    'resourceVersion=1&resourceVersionMatch=Newer',
    'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Unsupported value: "Newer": supported values: "Exact", "NotOlderThan", ""',
  ],
  [
    'resourceVersionMatch=Newer&sendInitialEvents=true',
    'ListOptions.meta.k8s.io "" is invalid: [resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided, ' +
      'resourceVersionMatch: Unsupported value: "Newer": supported values: "Exact", "NotOlderThan", "", sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list]',
  ],
];
for (const [query, refusal] of lists) test(`list?${query}: ${refusal ? 'refused' : 'fine'}`, () => judge(checkListOptions, query, refusal));

const watches: [query: string, refusal: string | undefined][] = [
  ['', undefined],
  ['sendInitialEvents=true&resourceVersionMatch=NotOlderThan', undefined],
  ['sendInitialEvents=', undefined],
  ['sendInitialEvents=true', `${FORBIDDEN}sendInitialEvents requires setting resourceVersionMatch to NotOlderThan`],
  ['resourceVersionMatch=NotOlderThan', `${FORBIDDEN}resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided`],
  [
    'sendInitialEvents=true&resourceVersionMatch=Exact',
    'ListOptions.meta.k8s.io "" is invalid: [resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan, ' +
      'resourceVersionMatch: Unsupported value: "Exact": supported values: "NotOlderThan"]',
  ],
];
for (const [query, refusal] of watches)
  test(`watch?${query}: ${refusal ? 'refused' : 'fine'}`, () => judge(checkWatchOptions, query, refusal));

function judge(check: (query: URLSearchParams) => void, query: string, refusal: string | undefined): void {
  const run = () => check(new URLSearchParams(query));
  if (refusal) assert.throws(run, error => isUmiakError(error, 'Invalid') && assert.equal(error.message, refusal) === undefined);
  else run();
}

const starts: [initial: boolean | undefined, revision: number, bookmarks: boolean, start: object][] = [
  [undefined, 0, false, { from: 'present', marked: false }],
  [undefined, 7, true, { from: 'revision', revision: 7 }],
  [true, 0, true, { from: 'present', marked: true }],
  [true, 7, true, { from: 'present', marked: true }],
  [true, 7, false, { from: 'present', marked: false }],
  [false, 0, true, { from: 'now' }],
  [false, 7, true, { from: 'revision', revision: 7 }],
];
for (const [initial, revision, bookmarks, start] of starts)
  test(`a watch with sendInitialEvents=${initial}, revision ${revision}, bookmarks ${bookmarks} begins at ${JSON.stringify(start)}`, () =>
    assert.deepEqual(startOf(initial, revision, bookmarks), start));

test('numbers and booleans of queries', () => {
  assert.equal(parseRevision(''), 0);
  assert.equal(parseRevision('12'), 12);
  for (const text of ['abc', '-1', '1e3', '9'.repeat(30)]) assert.throws(() => parseRevision(text), { reason: 'BadRequest' });
  assert.equal(parseCount(new URLSearchParams('limit=-3'), 'limit'), 0);
  assert.throws(() => parseCount(new URLSearchParams('limit=x'), 'limit'), { reason: 'BadRequest' });
  assert.deepEqual(
    ['', 'sendInitialEvents=', 'sendInitialEvents=0', 'sendInitialEvents=true'].map(query => initialEventsOf(new URLSearchParams(query))),
    [undefined, undefined, false, true],
  );
  assert.deepEqual(tooLargeRevision(9, 3).details.causes, [
    { reason: 'ResourceVersionTooLarge', message: 'Too large resource version', field: '' },
  ]);
});

const resources = new Resources(builtinKinds);
const selectable: [path: string, fields: string][] = [
  [
    '/v1/pods',
    'spec.nodeName spec.restartPolicy spec.schedulerName spec.serviceAccountName spec.hostNetwork status.phase status.podIP status.podIPs status.nominatedNodeName',
  ],
  [
    '/v1/events',
    'involvedObject.kind involvedObject.namespace involvedObject.name involvedObject.uid involvedObject.apiVersion involvedObject.resourceVersion involvedObject.fieldPath reason reportingComponent source type',
  ],
  ['events.k8s.io/v1/events', 'regarding.kind regarding.namespace regarding.name regarding.uid reason reportingController type'],
  ['/v1/nodes', 'spec.unschedulable'],
  ['/v1/namespaces', 'status.phase name'],
  ['/v1/secrets', 'type'],
  ['/v1/services', 'spec.clusterIP spec.type'],
  ['/v1/replicationcontrollers', 'status.replicas'],
  ['apps/v1/replicasets', 'status.replicas'],
  ['batch/v1/jobs', 'status.successful'],
  ['certificates.k8s.io/v1/certificatesigningrequests', 'spec.signerName'],
  ['resource.k8s.io/v1/resourceslices', 'spec.nodeName spec.driver'],
  ['/v1/configmaps', 'metadata.name metadata.namespace'],
  ['storage.k8s.io/v1/storageclasses', 'metadata.name metadata.namespace'],
];
for (const [path, fields] of selectable)
  test(`${path} can be selected by ${fields}, and by nothing else`, () => {
    const [group = '', version = '', plural = ''] = path.split('/');
    const served = resources.find(group, version, plural)!;
    const select = (field: string) => parseSelection(served, '', new URLSearchParams({ fieldSelector: `${field}=x` }));
    for (const field of fields.split(' ')) assert.equal(select(field).fields[0]?.field, field);
    assert.throws(() => select('spec.other'), {
      reason: 'BadRequest',
      message: served.kind.selectableFields
        ? 'field label not supported: spec.other'
        : '"spec.other" is not a known field selector: only "metadata.name", "metadata.namespace"',
    });
  });
