import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Stored } from '../resources.ts';
import type { Write } from '../write.ts';
import { nodeRestriction } from './node-restriction.ts';

const served = (plural: string, group = '') => ({ cache: { plural }, resource: { group, plural, kind: plural } }) as unknown as Stored;
const [pods, nodes, volumes, namespaces] = [served('pods'), served('nodes'), served('persistentvolumes'), served('namespaces')];
const plugin = nodeRestriction(pods, nodes);
const MIRROR = { 'kubernetes.io/config.mirror': 'x' };
const node = (labels: object = {}, taints: object[] = []) => ({ metadata: { name: 'n', labels }, spec: { taints } });
const pod = (spec: object, metadata: object = { annotations: MIRROR }) => ({
  metadata: { name: 'p', ...metadata },
  spec: { containers: [], nodeName: 'n', ...spec },
});
const HOLD = 'umiak.io/local-path';
const GOING = { deletionTimestamp: '2026-01-01T00:00:00Z' };
const volume = (finalizers: string[], metadata: object = GOING) => ({
  metadata: { name: 'v', ...metadata, finalizers },
  spec: { local: {} },
});
const ONLY_RELEASE = `node "n" can only remove the finalizer "${HOLD}" of volumes`;

function ask(of: Stored, object: object, more: object = {}, user = 'system:node:n'): string | undefined {
  const write = { operation: 'CREATE', served: of, name: 'n', namespace: '', subresource: '', object, ...more };
  const identity = { name: user, groups: user.startsWith('system:node:') ? ['system:nodes'] : [] };
  try {
    plugin.validate?.({ ...write, identity } as unknown as Write);
    return undefined;
  } catch (error) {
    return (error as Error).message.replace(/^.*? is forbidden: /, '');
  }
}

const cases: [what: string, said: string | undefined, expected: string | undefined][] = [
  ['its own node', ask(nodes, node({ 'kubernetes.io/os': 'linux', 'example.com/x': 'y' })), undefined],
  ['another node', ask(nodes, node(), { name: 'm' }), 'node "n" is not allowed to modify node "m"'],
  [
    'labels that are kept from it',
    ask(nodes, node({ 'node-restriction.kubernetes.io/a': '1', 'node-role.kubernetes.io/master': '' })),
    'node "n" is not allowed to set the following labels: node-restriction.kubernetes.io/a, node-role.kubernetes.io/master',
  ],
  [
    'the same, later',
    ask(nodes, node({ 'x.k8s.io/a': '1' }), { operation: 'UPDATE', old: node() }),
    'node "n" is not allowed to modify labels: x.k8s.io/a',
  ],
  ['what others set stays', ask(nodes, node({ 'x.k8s.io/a': '1' }), { operation: 'UPDATE', old: node({ 'x.k8s.io/a': '1' }) }), undefined],
  [
    'taints',
    ask(nodes, node(), { operation: 'UPDATE', old: node({}, [{ key: 'a', effect: 'NoSchedule' }]) }),
    'node "n" is not allowed to modify taints',
  ],
  ['a mirror pod', ask(pods, pod({})), undefined],
  [
    'a pod of its own making',
    ask(pods, pod({}, {})),
    'pod does not have "kubernetes.io/config.mirror" annotation, node "n" can only create mirror pods',
  ],
  ['a mirror pod with a secret', ask(pods, pod({ volumes: [{ secret: {} }] })), 'node "n" can not create pods that reference secrets'],
  [
    'a mirror pod with an account',
    ask(pods, pod({ serviceAccountName: 'a' })),
    'node "n" can not create pods that reference a service account',
  ],
  ["another node's pod", ask(pods, pod({ nodeName: 'm' })), 'node "n" can only create pods with spec.nodeName set to itself'],
  [
    'labels of a pod by its status',
    ask(pods, pod({}, { labels: { a: 'b' } }), { operation: 'UPDATE', subresource: 'status', old: pod({}) }),
    'node "n" cannot update labels through pod status',
  ],
  ['the namespace of its docker containers', ask(namespaces, {}, { name: 'docker' }), undefined],
  ['another namespace', ask(namespaces, {}, { name: 'x' }), 'node "n" can only create the namespace "docker"'],
  ['a volume that is let go', ask(volumes, volume([]), { operation: 'UPDATE', old: volume([HOLD]) }), undefined],
  ['a volume that lives', ask(volumes, volume([], {}), { operation: 'UPDATE', old: volume([HOLD], {}) }), ONLY_RELEASE],
  [
    'a volume besides',
    ask(volumes, volume([], { ...GOING, labels: { a: 'b' } }), { operation: 'UPDATE', old: volume([HOLD]) }),
    ONLY_RELEASE,
  ],
  ["a volume's other guards", ask(volumes, volume([]), { operation: 'UPDATE', old: volume([HOLD, 'a/b']) }), ONLY_RELEASE],
  ['a volume deleted', ask(volumes, volume([]), { operation: 'DELETE', old: volume([HOLD]) }), ONLY_RELEASE],
  ['others', ask(nodes, node({ 'node-restriction.kubernetes.io/a': '1' }), {}, 'alice'), undefined],
];
for (const [what, said, expected] of cases) test(`a node writes: ${what}`, () => assert.equal(said, expected));
