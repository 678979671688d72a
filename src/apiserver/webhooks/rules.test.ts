import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type RuleSubject, rulesMatch } from './rules.ts';

const rule = (resources: string, operations = 'CREATE', groups = 'apps', versions = 'v1', scope = '*') => [
  { resources: [resources], operations: [operations], apiGroups: [groups], apiVersions: [versions], scope },
];
const subject = (plural: string, subresource = '', { group = 'apps', version = 'v1', namespace = 'n' } = {}) =>
  ({ operation: 'CREATE', subresource, namespace, served: { resource: { group, version, plural } } }) as RuleSubject;

const cases: [what: string, rules: ReturnType<typeof rule>, subject: RuleSubject, matches: boolean][] = [
  ['the resource', rule('deployments'), subject('deployments'), true],
  ['another resource', rule('deployments'), subject('replicasets'), false],
  ['its subresource', rule('deployments'), subject('deployments', 'scale'), false],
  ['all resources, no subresource', rule('*'), subject('deployments', 'scale'), false],
  ['a subresource', rule('deployments/scale'), subject('deployments', 'scale'), true],
  ['all subresources', rule('deployments/*'), subject('deployments', 'scale'), true],
  ['all of one resource with its subresources', rule('deployments/*'), subject('deployments'), true],
  ['one subresource of all', rule('*/scale'), subject('replicasets', 'scale'), true],
  ['all and everything', rule('*/*'), subject('replicasets', 'status'), true],
  ['another operation', rule('deployments', 'UPDATE'), subject('deployments'), false],
  ['another group', rule('deployments', '*', 'extensions'), subject('deployments'), false],
  ['another version', rule('deployments', '*', '*', 'v1beta1'), subject('deployments'), false],
  ['namespaced', rule('*', '*', '*', '*', 'Namespaced'), subject('deployments'), true],
  ['in the cluster, of something namespaced', rule('*', '*', '*', '*', 'Cluster'), subject('deployments'), false],
  ['a namespace belongs to the cluster', rule('*', '*', '*', '*', 'Cluster'), subject('namespaces', '', { group: '' }), true],
  ['cluster-wide', rule('*', '*', '*', '*', 'Namespaced'), subject('nodes', '', { group: '', namespace: '' }), false],
];
for (const [what, rules, given, expected] of cases) test(`rules: ${what}`, () => assert.equal(rulesMatch(rules, given), expected));
