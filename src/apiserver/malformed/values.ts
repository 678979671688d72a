import type { Random } from './random.ts';

/** Names that every JavaScript object has without being asked. */
const INHERITED = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'valueOf'];

const WORDS = [
  ...['name', 'key', 'value', 'labels', 'matchLabels', 'matchExpressions', 'operator', 'values', 'kind', 'uid', 'port', 'nodePort'],
  ...['httpGet', 'exec', 'command', 'limits', 'requests', 'cpu', 'secret', 'configMap', 'emptyDir', 'items', 'nodeAffinity', 'length'],
  ...['containers', 'apiVersion', 'metadata', 'spec', 'status', 'then', 'toJSON', 'a/b', 'a.b', '~', '', ' ', '\u0000', '\ud800', '🛶'],
  ...INHERITED,
  ...INHERITED,
];

const STRINGS = [
  ...['', 'x', ' ', '\u0000', 'é\ud800', '\u202egpj', '🛶', 'ß', '\uffff', '../..', '%00', "'; --", '$x', '$(a)', '{{.}}', '*', '-', '.'],
  ...['100m', '1Gi', '1e400', '-1', '9223372036854775808', '0x10', 'NaN', 'Infinity', 'null', 'true', '2020-01-01T00:00:00Z', '9999-99-99'],
  ...[
    '10.0.0.1',
    '::1',
    '::ffff:1.2.3.4',
    '10.0.0.0/33',
    'fe80::1%eth0',
    'https://[',
    'file:///etc/passwd',
    'a=b',
    '-----BEGIN CERTIFICATE-----',
  ],
  ...INHERITED,
];

const NUMBERS = [0, -0, -1, 1, 80, 1.5, 65_536, 2 ** 31 - 1, 2 ** 31, -(2 ** 31), 2 ** 40, 2 ** 53, 1e300, -1e300, 5e-324];

/** A field or key that may be anybody's. */
export function word(random: Random): string {
  return random.pick(WORDS);
}

/** A text that no field hopes for. */
export function hostileText(random: Random): string {
  return random.chance(0.03) ? random.pick(STRINGS).repeat(1 + random.below(3000)) : random.pick(STRINGS);
}

/** Any JSON value. */
export function anyValue(random: Random, depth: number): unknown {
  if (depth <= 0 || random.chance(0.4))
    return random.pick([hostileText(random), random.pick(NUMBERS), random.pick([true, false, null]), random.pick([{}, [], [[]], [null]])]);
  if (random.chance(0.4)) return random.list(3, () => anyValue(random, depth - 1));
  return Object.fromEntries(random.list(4, () => [word(random), anyValue(random, depth - 1)]));
}

const EXPRESSIONS = [
  ...[
    'true',
    'false',
    '',
    '1',
    '1/0',
    '1 % 0',
    '9223372036854775807 + 1',
    'object',
    'object.',
    'self',
    'oldSelf',
    'oldObject.spec',
    'request',
  ],
  ...[
    'self.replicas > 1',
    'self == oldSelf',
    'self.all(x, x > 1)',
    'self.map(x, self.map(y, self.map(z, x)))',
    'has(self.spec)',
    'has(self)',
  ],
  ...[
    'object.metadata.name.matches("(a+)+$")',
    '"a".matches("[")',
    'object.__proto__',
    'object["constructor"]',
    'variables.a',
    'params.data.a',
  ],
  ...[
    'object.spec.replicas + "a"',
    'quantity("x")',
    'url("::")',
    'ip("x")',
    'cidr("10.0.0.0/99")',
    'duration("x")',
    'timestamp("x")',
    'dyn(1).a',
  ],
  ...[
    '[1,2,3].sum() > 0',
    '{1: 2}[3]',
    'size(object) > 0',
    'authorizer.group("").resource("pods").check("get").allowed()',
    "format.named('x')",
  ],
  ...[
    'Object{spec: Object.spec{replicas: 1}}',
    '[JSONPatch{op: "add", path: "/x", value: 1}]',
    '"\\u0000"',
    'a ? b : c',
    '((1))',
    '// x',
    '@',
    '"',
  ],
];

/** A CEL text, from right to endless. */
export function expression(random: Random): string {
  if (random.chance(0.02)) return `${'('.repeat(2000)}1${')'.repeat(2000)}`;
  if (random.chance(0.02)) return Array.from({ length: 2000 }, () => 'true').join(' && ');
  if (random.chance(0.02)) return `${'self.map(x, '.repeat(12)}1${')'.repeat(12)}`;
  return random.pick(EXPRESSIONS);
}

/** What strings of such fields look like to the code that reads them. */
export const TEXTS: Record<string, readonly string[]> = {
  pattern: ['(a+)+$', '[', '^a', '(?=x)', '\\p{L}', '(?<n>a)\\k<n>', '('.repeat(500)],
  jsonPath: ['.spec.x', '.', '..', '{', '.a[?(@.b==1)]', '.a[*', '.__proto__', '.metadata.labels["a"]', '.spec[-1:]'],
  path: ['/', '/a', '//', '/..', '', '../x', '/__proto__/x', '/spec/a'],
  schedule: ['* * * * *', '@hourly', '60 * * * *', '*/0 * * * *', '0 0 31 2 *', 'TZ=UTC * * * * *', '@every 1s', '1-5/0 * * * *', '@'],
  timeZone: ['Europe/Berlin', 'Local', '', 'x', '../UTC', 'UTC'],
  cidr: ['10.0.0.0/8', '10.0.0.0/99', '::/0', 'x', '10.0.0.1/8'],
  request: ['LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlJQg==', 'LS0tLS0=', ''],
  caBundle: ['LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==', 'eA==', ''],
  token: ['a.b.c', 'eyJhbGciOiJub25lIn0.e30.', '..', ''],
  url: ['https://127.0.0.1:1', 'https://[', 'http://x', 'https://u:p@h/?a#b', ''],
  key: ['a', 'kubernetes.io/metadata.name', 'node.kubernetes.io/not-ready', '', '/', '__proto__'],
  operator: ['In', 'NotIn', 'Exists', 'DoesNotExist', 'Gt', 'Lt', 'Equal', 'x', ''],
  type: [
    ...[
      'ClusterIP',
      'NodePort',
      'LoadBalancer',
      'ExternalName',
      'RollingUpdate',
      'Recreate',
      'OnDelete',
      'Resource',
      'Pods',
      'External',
      'Object',
    ],
    ...[
      'Utilization',
      'AverageValue',
      'Value',
      'Opaque',
      'string',
      'object',
      'array',
      'Localhost',
      'Container',
      'Pod',
      'Ready',
      'Queue',
      'x',
      '',
    ],
  ],
  serviceAccountName: ['default', 'x', ''],
  serviceAccount: ['default', 'x', ''],
  priorityClassName: ['system-node-critical', ''],
  runtimeClassName: ['x', ''],
  preemptionPolicy: ['PreemptLowerPriority', 'Never', 'x'],
  imagePullPolicy: ['Always', 'Never', 'x'],
  terminationMessagePolicy: ['File', 'x'],
  restartPolicy: ['Always', 'Never', 'OnFailure', 'x'],
  dnsPolicy: ['None', 'Default', 'ClusterFirst'],
  protocol: ['TCP', 'UDP', 'SCTP', 'x'],
  completionMode: ['Indexed', 'NonIndexed'],
  mode: ['', 'x', 'Utilization'],
  effect: ['NoSchedule', 'NoExecute', 'x', ''],
  topologyKey: ['kubernetes.io/hostname', '', '/'],
  mountPath: ['/a', '/b', '../x', '', 'a:b'],
  action: ['FailJob', 'Ignore', 'Count', 'FailIndex', 'x'],
  completedIndexes: ['0-9', '3-1', 'x', ''],
  succeededIndexes: ['0-9', '3-1', '0,0', 'x', ''],
  addressType: ['IPv4', 'IPv6', 'FQDN'],
  whenUnsatisfiable: ['DoNotSchedule', 'ScheduleAnyway', 'x'],
  clusterIP: ['None', '10.43.0.9', '1.2.3.4', 'x', ''],
  apiVersion: ['v1', 'apps/v1', '/', '', 'a/b/c'],
};
for (const field of ['expression', 'messageExpression', 'rule', 'valueExpression']) TEXTS[field] = [];
