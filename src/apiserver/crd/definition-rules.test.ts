import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { CrdSchema } from '#kinds/crd-schema.ts';
import type { CustomResourceDefinition } from '#kinds/types.gen.ts';
import { runAtOnce } from '../slices.ts';
import { definitionCauses } from './definition-rules.ts';
import { loadExpressions } from './expressions.ts';
import { definition } from './test-definitions.ts';

before(() => loadExpressions());

const SCHEMA = 'spec.versions[0].schema.openAPIV3Schema';

function causesOf(schema: CrdSchema, version: object = {}): string[] {
  const crd = definition('a.example.com', schema, version) as unknown as CustomResourceDefinition;
  return runAtOnce(definitionCauses(crd, undefined)).map(({ field, message }) => `${field.replace(SCHEMA, '…')}: ${message}`);
}

const object = (properties: Record<string, CrdSchema>): CrdSchema => ({ type: 'object', properties });

const cases: [name: string, schema: CrdSchema, expected: string[]][] = [
  ['a structural schema', object({ spec: object({ a: { type: 'string' } }) }), []],
  ['no type at the root', {}, ['….type: Required value: must not be empty at the root']],
  ['another type at the root', { type: 'string' }, ['….type: Invalid value: "string": must be object at the root']],
  ['no type of a field', object({ a: {} }), ['….properties[a].type: Required value: must not be empty for specified object fields']],
  [
    'no type of items',
    object({ a: { type: 'array', items: {} } }),
    ['….properties[a].items.type: Required value: must not be empty for specified array items'],
  ],
  ['int-or-string', object({ a: { 'x-kubernetes-int-or-string': true, anyOf: [{ type: 'integer' }, { type: 'string' }] } }), []],
  ['anything', object({ a: { 'x-kubernetes-preserve-unknown-fields': true } }), []],
  [
    'types within anyOf',
    object({ a: { type: 'string', anyOf: [{ type: 'string' }] } }),
    ['….properties[a].anyOf[0].type: Forbidden: must be empty to be structural'],
  ],
  [
    'what anyOf alone speaks of',
    object({ a: { type: 'object', anyOf: [{ properties: { b: { minimum: 1 } } }] } }),
    [
      '….properties[a].properties[b]: Required value: because it is defined in ….properties[a].anyOf[0].properties[b]'.replaceAll(
        'because it is defined in …',
        `because it is defined in ${SCHEMA}`,
      ),
    ],
  ],
  [
    'properties and additionalProperties',
    object({ a: { type: 'object', properties: { b: { type: 'string' } }, additionalProperties: { type: 'string' } } }),
    ['….properties[a].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive'],
  ],
  [
    'unique items',
    object({ a: { type: 'array', items: { type: 'string' }, uniqueItems: true } }),
    ['….properties[a].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic'],
  ],
  [
    'a list map without keys',
    object({ a: { type: 'array', items: object({}), 'x-kubernetes-list-type': 'map' } }),
    ['….properties[a].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map'],
  ],
  [
    'a key that may be absent',
    object({
      a: { type: 'array', items: object({ k: { type: 'string' } }), 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['k'] },
    }),
    [
      '….properties[a].items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property',
    ],
  ],
  [
    'metadata',
    object({ metadata: object({ labels: { type: 'object', additionalProperties: { type: 'string' } } }) }),
    ['….properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified'],
  ],
  [
    'a default that is not allowed',
    object({ a: { type: 'integer', minimum: 3, default: 1 } }),
    ['….properties[a].default: Invalid value: 1:  in body should be greater than or equal to 3'],
  ],
  [
    'a default with unknown fields',
    object({ a: { type: 'object', properties: { b: { type: 'string' } }, default: { c: 1 } } }),
    ['….properties[a].default: Invalid value: {"c":1}: must not have unknown fields: default.c'],
  ],
  [
    'a rule that does not compile',
    object({ a: { type: 'string', 'x-kubernetes-validations': [{ rule: 'self.foo()' }] } }),
    [
      "….properties[a].x-kubernetes-validations[0].rule: Invalid value: \"self.foo()\": compilation failed: ERROR: <input>:1:9: undeclared reference to 'foo' (in container '')\n | self.foo()\n | ........^",
    ],
  ],
  [
    'a rule of another type',
    object({ a: { type: 'string', 'x-kubernetes-validations': [{ rule: 'self' }] } }),
    ['….properties[a].x-kubernetes-validations[0].rule: Invalid value: "self": compilation failed: must evaluate to bool'],
  ],
  [
    'oldSelf where nothing is known of it',
    object({ a: { type: 'array', maxItems: 3, items: { type: 'string', 'x-kubernetes-validations': [{ rule: 'self == oldSelf' }] } } }),
    [
      `….properties[a].items.x-kubernetes-validations[0].rule: Invalid value: "self == oldSelf": oldSelf cannot be used on the uncorrelatable portion of the schema within ${SCHEMA}.properties[a]`,
      `….properties[a].items.x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)`,
    ].slice(0, 1),
  ],
];

for (const [name, schema, expected] of cases) {
  test(`a definition's schema: ${name}`, () => {
    assert.deepEqual(causesOf(schema), expected);
  });
}

test('parts that are no schemas are refused, not failed at', () => {
  for (const odd of ['{{.}}', 7, true, [1]])
    for (const part of ['items', 'additionalProperties', 'properties'])
      for (const schema of [
        { type: 'object', [part]: odd },
        { type: 'object', properties: { a: { type: 'array', [part]: odd } } },
      ])
        assert.doesNotThrow(() => causesOf(schema as unknown as CrdSchema), JSON.stringify(schema));
});

test('rules that cost too much are refused', () => {
  const list: CrdSchema = { type: 'array', items: { type: 'array', items: { type: 'string' } } };
  const rules = [{ rule: 'self.all(x, x.all(y, self.exists(z, z.exists(w, w.contains(y)))))' }];
  const causes = causesOf(object({ a: { ...list, 'x-kubernetes-validations': rules } }));
  assert.match(causes[0] ?? '', /rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x/);
  assert.match(causes.at(-1) ?? '', /cost total for entire OpenAPIv3 schema exceeds budget/);
});

test('rules that others ship are cheap enough: keys of maps, parts of texts, durations', () => {
  const rules = (...texts: string[]) => ({ 'x-kubernetes-validations': texts.map(rule => ({ rule })) });
  const labels: CrdSchema = {
    type: 'object',
    maxProperties: 8,
    additionalProperties: { type: 'string' },
    ...rules('self.all(key, key.split("/")[0].size() < 253)', 'self.all(key, key.matches("^[a-z]([-a-z.]*[a-z])?/"))'),
  };
  const timeouts: CrdSchema = {
    ...object({ request: { type: 'string' }, backend: { type: 'string' } }),
    ...rules('!(has(self.request) && has(self.backend) && duration(self.backend) > duration(self.request))'),
  };
  assert.deepEqual(causesOf(object({ labels, rules: { type: 'array', maxItems: 16, items: timeouts } })), []);
});

test('columns, scale and selectable fields', () => {
  const schema = object({ spec: object({ a: { type: 'string' }, b: { type: 'object' } }) });
  assert.deepEqual(
    causesOf(schema, {
      additionalPrinterColumns: [{ name: 'A', type: 'text', jsonPath: '.spec.a' }],
      subresources: { scale: { specReplicasPath: '.status.replicas', statusReplicasPath: '.status.replicas' } },
      selectableFields: [{ jsonPath: '.spec.a' }, { jsonPath: '.spec.b' }, { jsonPath: '.spec.c' }],
    }),
    [
      'spec.versions[0].additionalPrinterColumns[0].type: Invalid value: "text": must be one of boolean,date,integer,number,string',
      'spec.versions[0].subresources.scale.specReplicasPath: Invalid value: ".status.replicas": should be a json path under .spec',
      'spec.versions[0].selectableFields[1].jsonPath: Invalid value: ".spec.b": must point to a field of type string, boolean or integer',
      'spec.versions[0].selectableFields[2].jsonPath: Invalid value: ".spec.c": is an invalid path: does not refer to a valid field',
    ],
  );
});
