import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isUmiakError } from '#base/errors.ts';
import { parseToml, type TomlValue } from './toml.ts';

const plain = (value: TomlValue): unknown =>
  value instanceof Map
    ? Object.fromEntries([...value].map(([key, each]) => [key, plain(each)]))
    : Array.isArray(value)
      ? value.map(plain)
      : value;

test('reads what hosts.toml is made of', () => {
  const table: [string, unknown][] = [
    ['', {}],
    ['\uFEFF# only a comment\n\n\t\r\n', {}],
    ['server = "https://docker.io" # where', { server: 'https://docker.io' }],
    ['a = \'C:\\n\'\r\nb="\\u00e4\\t\\"\\U0001F6F6"', { a: 'C:\\n', b: 'ä\t"🛶' }],
    ['skip_verify = true\noverride_path=false', { skip_verify: true, override_path: false }],
    ['ca = ["a.pem", # first\n  \'b.pem\',\n]', { ca: ['a.pem', 'b.pem'] }],
    ['client = [["a.cert", "a.key"], []]', { client: [['a.cert', 'a.key'], []] }],
    [
      '[host."https://m:5000".header]\nx = ["1"]\n[host."https://m:5000"]\nca = "c"',
      { host: { 'https://m:5000': { header: { x: ['1'] }, ca: 'c' } } },
    ],
    ['[ host . "a" ]\nheader = { x-a = "1", "y" = "2" }\nz = {}', { host: { a: { header: { 'x-a': '1', y: '2' }, z: {} } } }],
    ['header.x = "1"\nheader."y z" = "2"', { header: { x: '1', 'y z': '2' } }],
    ['__proto__ = "x"', JSON.parse('{"__proto__":"x"}')],
  ];
  for (const [text, expected] of table) assert.deepEqual(plain(parseToml(text, 'f')), expected, text);
});

test('keeps hosts in the order in which they stand', () => {
  const hosts = parseToml('[host."b"]\n[host."1"]\n[host."a"]', 'f').get('host');
  assert.deepEqual(hosts instanceof Map && [...hosts.keys()], ['b', '1', 'a']);
});

test('refuses everything else, with the line', () => {
  const table: [string, RegExp][] = [
    ['server', /line 1: = was expected/],
    ['a = "x"\nserver = docker.io', /line 2: "docker.io" is none of/],
    ['a = 1', /"1" is none of/],
    ['a =', /"" is none of/],
    ['a = "x" b = "y"', /end of the line/],
    ['a = "x', /" is missing/],
    ["a = 'x\n'", /' is missing/],
    ['a = "\\x"', /\\x is no escape/],
    ['a = "\\ud800"', /no escape/],
    ['a = """x"""', /several lines/],
    ['a = ["x" "y"]', /a comma or \]/],
    ['a = ["x"', /a comma or \]/],
    ['a = [', /is none of/],
    ['a = {x = "1"', /\} was expected/],
    ['a = "x"\n\na = "y"', /line 3: the key "a" stands twice/],
    ['[a]\n[a]', /line 2: the table \[a\] stands twice/],
    ['a = "x"\n[a]', /"a" already has a value/],
    ['a = { x = "1" }\n[a.b]', /"a" already has a value/],
    ['[[host]]', /arrays of tables/],
    ['[host', /\] was expected/],
    ['= "x"', /a key was expected/],
    [`a = ${'['.repeat(5000)}`, /in more than 8 others/],
    [`a${'.a'.repeat(5000)} = "x"`, /more than 8 parts/],
  ];
  for (const [text, message] of table)
    assert.throws(
      () => parseToml(text, 'hosts.toml'),
      error => isUmiakError(error, 'Invalid') && error.message.startsWith('hosts.toml: line ') && message.test(error.message),
      text,
    );
});
