import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { CrdSchema } from '#kinds/crd-schema.ts';
import { runAtOnce } from '../slices.ts';
import { applyDefaults } from './defaults.ts';
import { loadExpressions } from './expressions.ts';
import { prune } from './prune.ts';
import { rulesOf } from './rules.ts';
import { validatorOf } from './validator.ts';

before(() => loadExpressions());

const object = (properties: Record<string, CrdSchema>, more: CrdSchema = {}): CrdSchema => ({ type: 'object', properties, ...more });

function said(schema: CrdSchema, a: unknown, old?: unknown): string[] {
  const value = { a };
  const causes = validatorOf(object({ a: schema }))(value, old === undefined ? undefined : { a: old });
  return causes.map(({ field, message }) => `${field}: ${message}`);
}

const cases: [schema: CrdSchema, value: unknown, ...expected: string[]][] = [
  [{ type: 'integer' }, 'x', 'a: Invalid value: "string": a in body must be of type integer: "string"'],
  [{ type: 'integer' }, 1.5, 'a: Invalid value: "number": a in body must be of type integer: "number"'],
  [{ type: 'number' }, 1],
  [{ type: 'string' }, null, 'a: Invalid value: "null": a in body must be of type string: "null"'],
  [{ type: 'string', nullable: true }, null],
  [{ 'x-kubernetes-int-or-string': true }, true, 'a: Invalid value: "boolean": a in body must be of type integer,string: "boolean"'],
  [{ type: 'string', enum: ['x', 'y'] }, 'z', 'a: Unsupported value: "z": supported values: "x", "y"'],
  [{ type: 'integer', minimum: 2 }, 1, 'a: Invalid value: 1: a in body should be greater than or equal to 2'],
  [{ type: 'integer', minimum: 2, exclusiveMinimum: true }, 2, 'a: Invalid value: 2: a in body should be greater than 2'],
  [{ type: 'integer', maximum: 2 }, 3, 'a: Invalid value: 3: a in body should be less than or equal to 2'],
  [{ type: 'integer', multipleOf: 2 }, 3, 'a: Invalid value: 3: a in body should be a multiple of 2'],
  [{ type: 'string', minLength: 2 }, 'x', 'a: Invalid value: "x": a in body should be at least 2 chars long'],
  [{ type: 'string', maxLength: 2 }, 'xyz', 'a: Too long: may not be more than 2 bytes'],
  [{ type: 'string', maxLength: 2 }, '😀😀'],
  [{ type: 'string', pattern: '^a+$' }, 'b', 'a: Invalid value: "b": a in body should match \'^a+$\''],
  [{ type: 'string', format: 'date-time' }, 'b', 'a: Invalid value: "b": a in body must be of type date-time: "b"'],
  [{ type: 'string', format: 'ipv4' }, '10.0.0.1'],
  [{ type: 'array', items: { type: 'string' }, minItems: 2 }, ['x'], 'a: Invalid value: 1: a in body should have at least 2 items'],
  [{ type: 'array', items: { type: 'string' }, maxItems: 1 }, ['x', 'y'], 'a: Too many: 2: must have at most 1 items'],
  [{ type: 'array', items: { type: 'string' } }, [1], 'a[0]: Invalid value: "integer": a[0] in body must be of type string: "integer"'],
  [{ type: 'array', items: { type: 'string' }, 'x-kubernetes-list-type': 'set' }, ['x', 'x'], 'a[1]: Duplicate value: "x"'],
  [
    { type: 'array', items: object({ k: { type: 'string' } }), 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['k'] },
    [{ k: 'x' }, { k: 'x' }],
    'a[1]: Duplicate value: {"k":"x"}',
  ],
  [object({}, { required: ['b'] }), {}, 'a.b: Required value'],
  [
    { type: 'object', additionalProperties: { type: 'integer' } },
    { x: '1' },
    'a.x: Invalid value: "string": a.x in body must be of type integer: "string"',
  ],
  [{ type: 'object', maxProperties: 1 }, { x: 1, y: 2 }, 'a: Too many: 2: must have at most 1 items'],
  [
    { type: 'integer', anyOf: [{ minimum: 5 }, { multipleOf: 2 }] },
    3,
    '<nil>: Invalid value: "": "a" must validate at least one schema (anyOf)',
    'a: Invalid value: 3: a in body should be greater than or equal to 5',
  ],
  [
    { type: 'integer', oneOf: [{ minimum: 1 }, { minimum: 2 }] },
    3,
    '<nil>: Invalid value: "": "a" must validate one and only one schema (oneOf). Found 2 valid alternatives',
  ],
  [{ type: 'integer', not: { minimum: 1 } }, 3, '<nil>: Invalid value: "": "a" must not validate the schema (not)'],
  [
    object({}, { 'x-kubernetes-embedded-resource': true }),
    { metadata: {} },
    'a.apiVersion: Required value: must not be empty',
    'a.kind: Required value: must not be empty',
  ],
];

for (const [schema, value, ...expected] of cases)
  test(`${JSON.stringify(value)} by ${JSON.stringify(schema)}`, () => {
    assert.deepEqual(said(schema, value), expected);
  });

test('what was there before is tolerated, what changed is not', () => {
  const schema = object({ x: { type: 'integer', minimum: 5 }, y: { type: 'integer', minimum: 5 } });
  assert.deepEqual(said(schema, { x: 1, y: 6 }, { x: 1, y: 5 }), []);
  assert.equal(said(schema, { x: 2, y: 6 }, { x: 1, y: 6 }).length, 1);
  const list: CrdSchema = {
    type: 'array',
    items: object({ k: { type: 'string' }, v: { type: 'integer', minimum: 5 } }),
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['k'],
  };
  assert.deepEqual(
    said(
      list,
      [
        { k: 'b', v: 7 },
        { k: 'a', v: 1 },
      ],
      [{ k: 'a', v: 1 }],
    ),
    [],
  );
  assert.equal(said({ type: 'array', items: { type: 'integer', minimum: 5 } }, [1, 7], [1]).length, 1);
});

test('unknown fields go, but not where they are kept', () => {
  const schema = object({
    a: object({ b: { type: 'string' } }),
    free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true, properties: { known: object({ c: { type: 'string' } }) } },
    list: { type: 'array', items: object({}) },
    pod: { type: 'object', 'x-kubernetes-embedded-resource': true, properties: { spec: object({}) } },
  });
  const value = {
    apiVersion: 'v1',
    kind: 'X',
    metadata: { name: 'x' },
    a: { b: 'x', c: 1 },
    free: { any: { thing: 1 }, known: { d: 1 } },
    list: [{ x: 1 }],
    pod: { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' }, spec: { x: 1 }, extra: 1 },
    more: 1,
  };
  const dropped = prune(value, schema);
  assert.deepEqual(dropped, ['a.c', 'free.known.d', 'list[0].x', 'pod.spec.x', 'pod.extra', 'more']);
  assert.deepEqual(value.free, { any: { thing: 1 }, known: {} } as never);
});

test('defaults are filled in, and stand for nulls where none may be', () => {
  const schema = object({
    a: { type: 'integer', default: 1 },
    b: { type: 'integer', default: 2, nullable: true },
    c: { type: 'string' },
    d: object({ e: { type: 'string', default: 'x' } }, { default: {} }),
    list: { type: 'array', items: object({ f: { type: 'boolean', default: true } }) },
  });
  const value = { a: null, b: null, c: null, list: [{}, { f: false }] };
  applyDefaults(value, schema);
  assert.deepEqual(value, { a: 1, b: null, d: { e: 'x' }, list: [{ f: true }, { f: false }] } as never);
});

test('rules: messages, reasons, paths, what stood before', () => {
  const schema: CrdSchema = object(
    {
      min: { type: 'integer' },
      max: { type: 'integer' },
      fixed: { type: 'string', 'x-kubernetes-validations': [{ rule: 'self == oldSelf', message: 'fixed is immutable' }] },
      once: {
        type: 'string',
        'x-kubernetes-validations': [{ rule: 'oldSelf.hasValue() || self == "new"', optionalOldSelf: true, reason: 'FieldValueForbidden' }],
      },
    },
    {
      'x-kubernetes-validations': [
        { rule: 'self.min <= self.max', messageExpression: '"min " + string(self.min) + " is over max"', fieldPath: '.min' },
        { rule: 'self.min != 13' },
      ],
    },
  );
  const rules = rulesOf(schema)!;
  const texts = (value: unknown, old?: unknown) => runAtOnce(rules(value, old)).map(({ field, message }) => `${field}: ${message}`);
  assert.deepEqual(texts({ min: 1, max: 2, fixed: 'x', once: 'new' }), []);
  assert.deepEqual(texts({ min: 13, max: 2 }), [
    'min: Invalid value: min 13 is over max',
    '<nil>: Invalid value: failed rule: self.min != 13',
  ]);
  assert.deepEqual(texts({ min: 1, max: 2, fixed: 'y' }, { min: 1, max: 2, fixed: 'x' }), [
    'fixed: Invalid value: "y": fixed is immutable',
  ]);
  assert.deepEqual(texts({ min: 1, max: 2, once: 'old' }), ['once: Forbidden: failed rule: oldSelf.hasValue() || self == "new"']);
  assert.deepEqual(texts({ min: 1, max: 2, once: 'old' }, { min: 1, max: 2, once: 'x' }), []);
});

test('a hostile rule ends', () => {
  const rule = { rule: 'self.all(x, self.all(y, self.all(z, self.all(w, x + y + z + w >= 0))))' };
  const schema: CrdSchema = object({ a: { type: 'array', items: { type: 'integer' }, 'x-kubernetes-validations': [rule, rule] } });
  const causes = runAtOnce(rulesOf(schema)!({ a: Array.from({ length: 1000 }, () => 1) }));
  assert.equal(causes.length, 1);
  assert.match(causes[0]!.message, /call cost exceeds limit for rule/);
});
