import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type AccessQuestion,
  AUTHORIZER,
  authorizerValue,
  BOOL,
  Budget,
  compile,
  DYN,
  escapeField,
  INT,
  objectOf,
  RESOURCE_CHECK,
  resourceCheckValue,
  toJson,
  typeOfSchema,
} from './index.ts';

const self = typeOfSchema(
  {
    type: 'object',
    properties: {
      replicas: { type: 'integer' },
      ratio: { type: 'number' },
      name: { type: 'string', maxLength: 10 },
      'a-b': { type: 'string' },
      namespace: { type: 'string' },
      port: { 'x-kubernetes-int-or-string': true },
      since: { type: 'string', format: 'date-time' },
      items: { type: 'array', maxItems: 5, items: { type: 'object', properties: { x: { type: 'integer' }, n: { type: 'string' } } } },
      labels: { type: 'object', additionalProperties: { type: 'string' } },
    },
  },
  { isResource: true },
);
const types = { self, d: DYN };
const values = {
  self: {
    replicas: 3,
    ratio: 1,
    name: 'abc',
    'a-b': 'q',
    namespace: 'ns',
    port: '50%',
    since: '2024-02-03T04:05:06Z',
    items: [{ x: 1, n: 'a' }, { x: 2 }],
    labels: { k: 'v', z: 'y' },
    metadata: { name: 'web' },
  },
  d: { a: { b: [1, 2.5, 'x'] }, huge: 1e300, namespace: 'ns', nothing: null },
};

/** The expression's value as JSON, or `!` and why there is none. */
function run(expression: string): unknown {
  const compiled = compile(expression, { variables: types });
  if (!compiled.ok) return `!${compiled.error.split('\n')[0]}`;
  const { value, error } = compiled.program.evaluate(values);
  return error === undefined ? toJson(value ?? null) : `!${error}`;
}

const TABLE: Readonly<Record<string, readonly (readonly [string, unknown])[]>> = {
  'fields and maps': [
    ['self.replicas >= 3 && self.metadata.name == "web"', true],
    ['self.a__dash__b + self.__namespace__', 'qns'],
    ['self.labels["k"] + self.labels.z', 'vy'],
    ['"k" in self.labels && !("q" in self.labels)', true],
    ['d.a.b[1] > 1 && d.namespace == "ns"', true],
    ['has(self.items[0].n) && !has(self.items[1].n)', true],
    ['self.items[1].n', '!no such key: n'],
    ['self.items[7].x', '!index out of bounds: 7'],
    ['self.nope', "!ERROR: <input>:1:5: undefined field 'nope'"],
    ['other', "!ERROR: <input>:1:1: undeclared reference to 'other' (in container '')"],
    ['self.port == 5 || type(self.port) == string', true],
    ['self.ratio + 0.5', 1.5],
    ['self.since.getFullYear() == 2024 && self.since < timestamp("2025-01-01T00:00:00Z")', true],
    ['d.nothing == null && has(d.nothing)', true],
  ],
  operators: [
    ['1 + 2 * 3 - 4 / 2 % 3', 5],
    ['-9223372036854775808 == -9223372036854775807 - 1', true],
    ['9223372036854775807 + 1', '!integer overflow'],
    ['1 / 0', '!division by zero'],
    ['1 / 0 == 1 || true', true],
    ['false && 1 / 0 == 1', false],
    ['1u + 2u == 3u && 1 < 2u && 2.0 == dyn(2)', true],
    ['"a" < "b" && b"a" < b"b" && [1] + [2] == [1, 2]', true],
    ['1 + "a"', "!ERROR: <input>:1:3: found no matching overload for '_+_' applied to '(int, string)'"],
    ['self.name == 1', "!ERROR: <input>:1:11: found no matching overload for '_==_' applied to '(string, int)'"],
    ['true ? 1 : "a"', "!ERROR: <input>:1:1: found no matching overload for '_?_:_' applied to '(bool, int, string)'"],
    ['[1, "a"]', "!ERROR: <input>:1:5: expected type 'int' but found 'string'"],
    ['1 +', '!ERROR: <input>:1:4: Syntax error: Unexpected token: EOF'],
    ['r"\\d" + "\\u00e9"', '\\dé'],
  ],
  conversions: [
    ['int("42") + int(2.9) + int(3u)', 47],
    ['string(1) + string(1.5) + string(true) + string(b"x")', '11.5truex'],
    ['double("1e3") == 1000.0 && bool("true")', true],
    ['int("x")', '!strconv.ParseInt: parsing "x": invalid syntax'],
    ['duration("1h30m").getMinutes() + duration("-1.5s").getMilliseconds()', -1410],
    ['string(duration("1h") - duration("1ms"))', '3599.999s'],
    ['timestamp("2024-01-31T12:00:00Z") + duration("24h") == timestamp("2024-02-01T12:00:00Z")', true],
    ['timestamp("2024-06-01T12:00:00Z").getHours("America/New_York")', 8],
    ['timestamp("2023-02-29T12:00:00Z")', '!invalid timestamp "2023-02-29T12:00:00Z"'],
    ['type(d.huge) == double && type(d.a.b[0]) == int', true],
    ['timestamp("2024-03-01T00:00:00Z").getDayOfYear() + timestamp("2024-03-01T00:00:00Z").getDayOfMonth()', 60],
    ['type(1) == int && type([]) == list && type(timestamp(0)) == google.protobuf.Timestamp', true],
  ],
  macros: [
    ['self.items.all(i, i.x > 0) && self.items.exists(i, i.x == 2) && self.items.exists_one(i, i.x == 1)', true],
    ['self.items.exists(i, i.n == "a")', true],
    ['self.items.all(i, i.n != "")', '!no such key: n'],
    ['self.items.map(i, i.x * 2) + self.items.map(i, i.x > 1, i.x)', [2, 4, 2]],
    ['self.items.filter(i, has(i.n)).size()', 1],
    ['self.labels.all(k, k.size() == 1)', true],
    [
      '[1, 2].map(x, [3, 4].map(y, x * y))',
      [
        [3, 4],
        [6, 8],
      ],
    ],
    ['self.items.all(i, v, i + 1 == v.x) && self.labels.exists(k, v, k == "z" && v == "y")', true],
    ['[5, 6].transformList(i, v, i * v) + [1, 2].transformList(i, v, i > 0, v)', [0, 6, 2]],
    ['self.labels.transformMap(k, v, v + "!")', { k: 'v!', z: 'y!' }],
    ['self.labels.transformMapEntry(k, v, {v: k})', { v: 'k', y: 'z' }],
    ['[1, 2, 2].existsOne(i, v, v == 2)', false],
    ['cel.bind(x, self.replicas * 2, x + x)', 12],
    ['5.all(x, true)', "!ERROR: <input>:1:1: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)"],
  ],
  optionals: [
    ['d.?zz.?y.orValue("none") + d.?namespace.orValue("")', 'nonens'],
    ['d[?"a"].hasValue() && !optional.none().hasValue() && optional.of(1).value() == 1', true],
    ['self.items[?5].hasValue() || self.items[?0].x.orValue(0) == 1', true],
    ['{"a": 1, ?"b": optional.none(), ?"c": optional.of(2)}', { a: 1, c: 2 }],
    ['[1, ?optional.none(), 3]', [1, 3]],
    ['optional.of(2).optMap(x, x + 1).orValue(0) + optional.of(1).optFlatMap(x, optional.of(x)).value()', 4],
    ['optional.ofNonZeroValue("").or(optional.of("z")).value()', 'z'],
  ],
  strings: [
    ['"tacocat".charAt(2) + "AbC".lowerAscii() + "AbC".upperAscii()', 'cabcABC'],
    ['"hello".indexOf("l") * 10 + "hello".lastIndexOf("l")', 23],
    ['"a😀b".size() == 3 && "a😀b".indexOf("b") == 2 && "a😀b".substring(1, 2) == "😀"', true],
    ['"a,b,c".split(",", 2) + "ab".split("")', ['a', 'b,c', 'a', 'b']],
    ['["a", "b"].join("-") + "x-x-x".replace("-", "+", 1) + "aa".replace("a", "b")', 'a-bx+x-xbb'],
    ['"  t ".trim() + "abc".reverse() + "abcd".substring(2)', 'tcbacd'],
    ['strings.quote("a\\n\\"b")', '"a\\n\\"b"'],
    ['"%s has %d, %.2f, %x, %b, %s".format(["a", 1, 1.5, 255, 5, [1, "b"]])', 'a has 1, 1.50, ff, 101, [1, b]'],
    ['"abc".substring(5)', '!index out of range: 5'],
  ],
  lists: [
    ['[1, 2, 3].isSorted() && ![2, 1].isSorted() && ["a", "b"].isSorted()', true],
    ['[1, 2].sum() + [3, 1].max() + [3, 1].min()', 7],
    ['[1, 2, 1].indexOf(1) + [1, 2, 1].lastIndexOf(1) + [1].indexOf(9)', 1],
    [
      '[[1], [2, 3]].flatten() + [3, 1, 2].sort() + [1, 1].distinct() + [1, 2].reverse() + [1, 2, 3].slice(0, 1)',
      [1, 2, 3, 1, 2, 3, 1, 2, 1, 1],
    ],
    ['lists.range(3)', [0, 1, 2]],
    ['[].max() == 1', '!max called on empty list'],
    ['sets.contains([1, 2], [2]) && sets.equivalent([1, 1], [1]) && !sets.intersects([1], [2])', true],
    ['math.greatest(1, 5, 3) + math.least([4, 2]) + math.abs(-3)', 10],
    ['math.ceil(1.2) + math.round(2.5) + math.floor(-0.5)', 4],
  ],
  'regex, url, quantity': [
    ['"abc123".find("[0-9]+") + "x".find("y")', '123'],
    ['"a1b2c3".findAll("[0-9]") + "a1b2".findAll("[0-9]", 1)', ['1', '2', '3', '1']],
    ['"aaa".matches("^a+$") && matches("b", "b")', true],
    ['"a".matches("(")', '!ERROR: <input>:1:13: invalid matches argument: error parsing regexp: missing closing ): `(`'],
    [
      'url("https://u@h.example:80/a b?x=1&x=2").getHost()',
      '!URL parse error during conversion from string: parse "https://u@h.example:80/a b?x=1&x=2": invalid URI for request',
    ],
    ['url("https://h.example:80/a?x=1&x=2").getHostname() + url("https://h:80/").getPort()', 'h.example80'],
    ['url("/a/b").getEscapedPath() + url("HTTP://h/x").getScheme()', '/a/bhttp'],
    ['url("https://h/?x=1&x=2&y").getQuery()', { x: ['1', '2'], y: [''] }],
    ['isURL("nope") || isURL("") || !isURL("https://[::1]:80/")', false],
    ['quantity("1.5Gi").isGreaterThan(quantity("1G")) && quantity("1k").asInteger() == 1000 && quantity("50m").sign() == 1', true],
    ['quantity("1").add(quantity("500m")).sub(1).asApproximateFloat()', 0.5],
    ['isQuantity("1.3Gi") && !isQuantity("x") && quantity("1000m") == quantity("1")', true],
  ],
  'ip, cidr, format, semver': [
    ['ip("10.0.0.1").family() + ip("::1").family()', 10],
    ['ip("127.0.0.1").isLoopback() && ip("fe80::1").isLinkLocalUnicast() && ip("8.8.8.8").isGlobalUnicast() && !isIP("1.2.3")', true],
    ['ip.isCanonical("2001:db8::abcd") && !ip.isCanonical("2001:DB8::ABCD") && ip.isCanonical("::") && ip.isCanonical("1::")', true],
    ['string(ip("2001:db8:0:0:1:0:0:0"))', '2001:db8:0:0:1::'],
    ['cidr("10.0.0.0/8").containsIP("10.1.2.3") && !cidr("10.0.0.0/8").containsCIDR("11.0.0.0/16")', true],
    ['string(cidr("10.1.2.3/8").masked()) + string(cidr("10.1.2.3/8").ip())', '10.0.0.0/810.1.2.3'],
    ['cidr("::/64").prefixLength() == 64 && !isCIDR("10.0.0.0/33")', true],
    ['!format.dns1123Label().validate("web").hasValue() && format.named("dns1123Label").value().validate("Web").hasValue()', true],
    ['format.named("nope").hasValue() || format.uuid().validate("x").hasValue()', true],
    [
      'semver("1.2.3").isLessThan(semver("1.10.0")) && semver("1.0.0-rc.1").isLessThan(semver("1.0.0")) && semver("v1.2", true).minor() == 2',
      true,
    ],
    ['isSemver("1.2") || !isSemver("v1.2", true)', false],
    ['base64.encode(b"hi") + string(base64.decode("aGk="))', 'aGk=hi'],
    ['jsonpatch.escapeKey("a/b~c")', 'a~1b~0c'],
  ],
};

for (const [what, rows] of Object.entries(TABLE))
  test(what, () => {
    for (const [expression, expected] of rows) assert.deepEqual(run(expression), expected, expression);
  });

test('an error shows the line and marks the place', () => {
  const compiled = compile('true &&\n self.nope', { variables: types });
  assert.equal(compiled.ok ? '' : compiled.error, "ERROR: <input>:2:6: undefined field 'nope'\n |  self.nope\n | .....^");
});

test('the result must be of a wanted type', () => {
  const compiled = compile('1', { variables: types, results: [BOOL] });
  assert.deepEqual(compiled, { ok: false, error: 'must evaluate to bool' });
  assert.equal(compile('d.x', { variables: types, results: [BOOL] }).ok, true);
});

test('the same text with the same types is compiled once', () => {
  assert.equal(compile('self.replicas', { variables: types }), compile('self.replicas', { variables: types }));
  assert.notEqual(compile('self.replicas', { variables: types }), compile('self.replicas', { variables: { self: DYN } }));
});

test('cost is charged per call and for all calls, and nothing absorbs its end', () => {
  const list = Array.from({ length: 2_000 }, (_, at) => at);
  const hostile = compile('d.all(a, d.all(b, d.all(c, true))) || true', { variables: types });
  const small = compile('d.size() > 0', { variables: types });
  assert.ok(hostile.ok && small.ok);
  const budget = new Budget({ total: 1_000_003 });
  assert.deepEqual(hostile.program.evaluate({ d: list }, budget), {
    error: 'operation cancelled: actual cost limit exceeded',
    isBudget: true,
  });
  assert.equal(small.program.evaluate({ d: list }, budget).error, undefined);
  assert.equal(small.program.evaluate({ d: list }, budget).error, 'operation cancelled: actual cost limit exceeded');
});

test('a text that is too long or too deep is refused', () => {
  assert.match(errorOf('1 + '.repeat(40_000)), /expression code point size exceeds limit/);
  assert.match(errorOf(`${'1 + '.repeat(5_000)}1`), /recursion limit/);
  assert.match(errorOf(`self${'.name'.repeat(5_000)}`), /Syntax error/);
  assert.equal(errorOf(Array(200).fill('self.replicas > 1').join(' && ')), '');
  assert.match(errorOf('('.repeat(5_000)), /Syntax error/);
  assert.match(errorOf(`${'['.repeat(500)}1${']'.repeat(500)}`), /Syntax error/);
  assert.match(errorOf(`${'!'.repeat(60_000)}true`), /recursion limit|overload|Syntax error/);
});

test('the static estimation follows the schema and multiplies nested macros', () => {
  const sized = (maxItems: number) => typeOfSchema({ type: 'array', maxItems, items: { type: 'string', maxLength: 8 } });
  const cost = (expression: string, maxItems: number) => {
    const compiled = compile(expression, { variables: { self: sized(maxItems) } });
    assert.ok(compiled.ok);
    return compiled.program.estimateCost();
  };
  assert.ok(cost('self.all(x, x == "a")', 10) < 100);
  const [once, twice] = [cost('self.all(x, x == "a")', 1_000), cost('self.all(x, self.all(y, x == y))', 1_000)];
  assert.ok(twice / once > 500 && twice / once < 2_000, `${once} ${twice}`);
  const open = compile('self.all(x, self.all(y, x == y))', {
    variables: { self: typeOfSchema({ type: 'array', items: { type: 'string' } }) },
  });
  assert.ok(open.ok && open.program.estimateCost() > 100_000_000);
});

test('message literals build what they name', () => {
  const struct = objectOf('Object', {});
  const structs = (name: string) => (name === 'Object' || name.startsWith('Object.') ? struct : undefined);
  const compiled = compile('Object{spec: Object.spec{replicas: self.replicas + 1, ?gone: optional.none()}}', { variables: types, structs });
  assert.ok(compiled.ok, compiled.ok ? '' : compiled.error);
  assert.deepEqual(toJson(compiled.program.evaluate(values).value ?? null), { spec: { replicas: 4 } });
  assert.equal(compile('Other{}', { variables: types, structs }).ok, false);
});

test('properties are escaped as Kubernetes escapes them', () => {
  const table: [string, string | undefined][] = [
    ['plain', 'plain'],
    ['a.b-c/d', 'a__dot__b__dash__c__slash__d'],
    ['x__y', 'x__underscores__y'],
    ['namespace', '__namespace__'],
    ['$ref', undefined],
    ['1a', undefined],
  ];
  for (const [property, escaped] of table) assert.equal(escapeField(property), escaped);
});

test('variables of plain types', () => {
  const compiled = compile('n * 2', { variables: { n: INT } });
  assert.ok(compiled.ok);
  assert.equal(compiled.program.evaluate({ n: 21 }).value, 42n);
});

function errorOf(expression: string): string {
  const compiled = compile(expression, { variables: types });
  return compiled.ok ? '' : compiled.error;
}

test('hostile expressions end soon', () => {
  const l = Array.from({ length: 1_000 }, (_, at) => at);
  const d = { l, s: l.map(() => `${'a'.repeat(50)}b`), big: 'x'.repeat(100_000), deep: [[l.map(() => l)], [l.map(() => [...l])]] };
  const hostile = [
    'd.l.all(a, d.l.all(b, d.l.all(c, c >= 0)))',
    'd.l.map(a, d.l.map(b, a + b)).size() > 0',
    'd.s.all(a, a.matches("^(a|aa)+$"))',
    'd.l.map(a, d.big.matches("(x+x+)+y"))',
    'd.l.map(a, d.big.replace("x", "yyyy"))',
    'd.l.map(a, d.big.split(""))',
    'd.big.matches("(x?){300}x{300}[yz]")',
    'd.l.map(a, sets.contains(d.l, d.l))',
    'd.l.map(a, d.l + d.l + d.l + d.l)',
    'd.l.map(a, d.l.sort().reverse())',
    'd.l.map(a, d.deep[0] == d.deep[1])',
    `d.big${'.replace("x", "xxxxxxxxxxxxxxxx")'.repeat(20)}`,
  ];
  for (const expression of hostile) {
    const compiled = compile(expression, { variables: { d: DYN } });
    assert.ok(compiled.ok, expression);
    const began = performance.now();
    compiled.program.evaluate({ d }, new Budget({ wallMs: 200 }));
    assert.ok(performance.now() - began < 3_000, expression);
  }
});

test('message literals and optional elements keep the offsets of what the author wrote', () => {
  const structs = () => objectOf('A', {});
  const table: [expression: string, offset: RegExp][] = [
    ['A{b: nope}', /<input>:1:6: undeclared reference to 'nope'/],
    ['A{b: A{c: 1}, d: [?nope]}', /<input>:1:20: undeclared reference to 'nope'/],
    ['{?"a": d.?b, "c": nope}', /<input>:1:19: undeclared reference to 'nope'/],
    ['\'A{b: 1}\' == "{?" ? nope : 1', /<input>:1:21: undeclared reference to 'nope'/],
  ];
  for (const [expression, expected] of table) {
    const compiled = compile(expression, { variables: types, structs });
    assert.match(compiled.ok ? 'ok' : compiled.error, expected, expression);
  }
  assert.deepEqual(run('[?d.?namespace, d.a.b.size() > 1 ? "x" : "y"]'), ['ns', 'x']);
  assert.deepEqual(run('{?"k": true ? optional.of(1) : optional.none(), "m": [1, ?optional.of(2)].size()}'), { k: 1, m: 2 });
});

test('the authorizer is asked what the expression says', () => {
  const asked: AccessQuestion[] = [];
  const authorizer = authorizerValue(question => {
    asked.push(question);
    return { allowed: question.path === undefined, reason: 'because' };
  });
  const requestResource = resourceCheckValue(() => ({ allowed: false, error: 'no' }), { group: 'apps', resource: 'deployments' });
  const variables = { authorizer: AUTHORIZER, 'authorizer.requestResource': RESOURCE_CHECK };
  const table: [expression: string, expected: unknown, asked: AccessQuestion[]][] = [
    [
      "authorizer.group('g').resource('r').subresource('s').namespace('n').name('x').labelSelector('a=b').check('get').allowed()",
      true,
      [{ group: 'g', resource: 'r', subresource: 's', namespace: 'n', name: 'x', labelSelector: 'a=b', verb: 'get' }],
    ],
    [
      "authorizer.serviceAccount('ns', 'sa').path('/healthz').check('get').reason()",
      'because',
      [{ serviceAccount: { namespace: 'ns', name: 'sa' }, path: '/healthz', verb: 'get' }],
    ],
    ["authorizer.requestResource.check('delete').errored() && authorizer.requestResource.check('get').error() == 'no'", true, []],
  ];
  for (const [expression, expected, questions] of table) {
    asked.length = 0;
    const compiled = compile(expression, { variables });
    assert.ok(compiled.ok, compiled.ok ? '' : compiled.error);
    assert.equal(compiled.program.evaluate({ authorizer, 'authorizer.requestResource': requestResource }).value, expected, expression);
    assert.deepEqual(asked, questions, expression);
  }
});
