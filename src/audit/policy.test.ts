import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AuditedRequest, parseAuditPolicy } from './policy.ts';

const policy = (rules: object[], more: object = {}) => parseAuditPolicy({ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', rules, ...more });
const request = (rest: Partial<AuditedRequest>): AuditedRequest => ({
  user: 'jane',
  groups: ['dev'],
  verb: 'get',
  group: '',
  resource: 'pods',
  subresource: '',
  namespace: 'shop',
  name: 'x',
  path: '',
  ...rest,
});
const path = (text: string) => request({ resource: undefined, path: text, namespace: '', name: '' });

test('a rule fits when all it names fits', () => {
  const cases: [string, object, Partial<AuditedRequest>, boolean][] = [
    ['nothing said', {}, {}, true],
    ['the user', { users: ['jane'] }, {}, true],
    ['another user', { users: ['bob'] }, {}, false],
    ['one of the groups', { userGroups: ['ops', 'dev'] }, {}, true],
    ['another group', { userGroups: ['ops'] }, {}, false],
    ['the verb', { verbs: ['get'] }, {}, true],
    ['another verb', { verbs: ['list'] }, {}, false],
    ['the namespace', { namespaces: ['shop'] }, {}, true],
    ['cluster scope is no namespace', { namespaces: [''] }, { namespace: '' }, true],
    ['the core group', { resources: [{ group: '', resources: ['pods'] }] }, {}, true],
    ['another group of the same plural', { resources: [{ group: 'metrics.k8s.io', resources: ['pods'] }] }, {}, false],
    ['a whole group', { resources: [{ group: '' }] }, {}, true],
    ['a resource without its subresources', { resources: [{ resources: ['pods'] }] }, { subresource: 'log' }, false],
    ['a subresource', { resources: [{ resources: ['pods/log'] }] }, { subresource: 'log' }, true],
    ['all subresources of one', { resources: [{ resources: ['pods/*'] }] }, { subresource: 'log' }, true],
    ['one subresource of all', { resources: [{ resources: ['*/log'] }] }, { subresource: 'log' }, true],
    ['everything', { resources: [{ resources: ['*'] }] }, { subresource: 'log' }, true],
    ['a name', { resources: [{ resources: ['pods'], resourceNames: ['x'] }] }, {}, true],
    ['another name', { resources: [{ resources: ['pods'], resourceNames: ['y'] }] }, {}, false],
    ['paths are no resources', { nonResourceURLs: ['*'] }, {}, false],
  ];
  for (const [what, rule, asked, isFit] of cases)
    assert.equal(policy([{ level: 'Metadata', ...rule }])(request(asked)).level, isFit ? 'Metadata' : 'None', what);
  const paths = policy([{ level: 'Request', nonResourceURLs: ['/healthz*', '/version'] }]);
  assert.deepEqual(
    ['/healthz/etcd', '/version', '/versions'].map(each => paths(path(each)).level),
    ['Request', 'Request', 'None'],
  );
});

test('the first rule that fits decides; stages and managed fields are the rule’s and the policy’s', () => {
  const decide = policy(
    [
      { level: 'None', users: ['bob'] },
      { level: 'Request', omitStages: ['Panic'], omitManagedFields: false, verbs: ['get'] },
      { level: 'Metadata' },
    ],
    { omitStages: ['RequestReceived'], omitManagedFields: true },
  );
  assert.equal(decide(request({ user: 'bob' })).level, 'None');
  assert.deepEqual(decide(request({})), {
    level: 'Request',
    omitStages: new Set(['RequestReceived', 'Panic']),
    omitManagedFields: false,
  });
  assert.equal(decide(request({ verb: 'list' })).omitManagedFields, true);
});

test('what is no policy is refused with the field', () => {
  const cases: [unknown, RegExp][] = [
    ['x', /the policy must be an object/],
    [{ kind: 'Policy', apiVersion: 'v1' }, /kind must be Policy/],
    [{ kind: 'Policy', apiVersion: 'audit.k8s.io/v1', rules: [] }, /rules must have at least one/],
  ];
  for (const [document, why] of cases) assert.throws(() => parseAuditPolicy(document), why);
  const rules: [object, RegExp][] = [
    [{ level: 'All' }, /rules\[0\].level/],
    [{ level: 'None', users: 'x' }, /rules\[0\].users/],
    [{ level: 'None', nonResourceURLs: ['*/x'] }, /rules\[0\].nonResourceURLs\[0\]/],
    [{ level: 'None', nonResourceURLs: ['/x'], namespaces: ['a'] }, /cannot apply to both/],
    [{ level: 'None', resources: [{ resourceNames: ['a'] }] }, /requires at least one resource/],
    [{ level: 'None', omitStages: ['Never'] }, /rules\[0\].omitStages/],
  ];
  for (const [rule, why] of rules) assert.throws(() => policy([rule]), why);
});
