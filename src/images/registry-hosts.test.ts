import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isUmiakError } from '#base/errors.ts';
import { foldersOf } from './registry-config.ts';
import { planHosts } from './registry-hosts.ts';

const all = ['pull', 'resolve', 'push'];
const none = { capabilities: all, caFiles: [], clientFiles: [] };

test('hosts in their order, the server last', () => {
  const text = `
server = "https://docker.io"
ca = "server.pem"

[host."https://mirror.example:5000"]
  capabilities = ["pull", "Resolve"]
  ca = ["a.pem", "/b.pem"]
  client = [["c.cert", "c.key"], "both.pem"]
  skip_verify = true
  dial_timeout = "1m30.5s"
  [host."https://mirror.example:5000".header]
    X-Token = "t"
    x-two = ["1", "2"]

[host."http://10.0.0.1/v2/proxy/"]
  override_path = true
  client = "one.pem"
`;
  assert.deepEqual(planHosts(text, 'f'), [
    {
      endpoint: 'https://mirror.example:5000',
      apiPath: '/v2',
      capabilities: ['pull', 'resolve'],
      caFiles: ['a.pem', '/b.pem'],
      clientFiles: [
        ['c.cert', 'c.key'],
        ['both.pem', 'both.pem'],
      ],
      skipVerify: true,
      headers: { 'x-token': ['t'], 'x-two': ['1', '2'] },
      connectTimeoutMs: 90_500,
    },
    { ...none, endpoint: 'http://10.0.0.1', apiPath: '/v2/proxy', clientFiles: [['one.pem', 'one.pem']] },
    { ...none, endpoint: 'https://registry-1.docker.io', apiPath: '/v2', caFiles: ['server.pem'] },
  ]);
});

test('whatever form of TOML says it; hosts stay in the order in which they stand', () => {
  const host = { ...none, endpoint: 'https://m:5000', apiPath: '/v2' };
  const table: [string, object[]][] = [
    ['\uFEFF# only a comment\n\n\t\r\n', [none]],
    ['ca = ["a.pem", # first\n  \'b.pem\',\n]', [{ ...none, caFiles: ['a.pem', 'b.pem'] }]],
    ['host."https://m:5000" = { ca = """\nc.pem""" }', [{ ...host, caFiles: ['c.pem'] }, none]],
    [
      '[host."https://m:5000".header]\nx = ["1"]\n[host."https://m:5000"]\nca = "c"',
      [{ ...host, caFiles: ['c'], headers: { x: ['1'] } }, none],
    ],
    ['header."__proto__" = "1"', [{ ...none, headers: JSON.parse('{"__proto__":["1"]}') }]],
  ];
  for (const [text, expected] of table) assert.deepEqual(planHosts(text, 'f'), expected, text);
  const hosts = planHosts('[host."https://b"]\n[host."10.0.0.1"]\n[host."https://a"]', 'f');
  assert.deepEqual(
    hosts.map(({ endpoint }) => endpoint),
    ['https://b', 'https://10.0.0.1', 'https://a', undefined],
  );
});

test('addresses and paths', () => {
  const table: [string, { endpoint: string; apiPath: string } | undefined][] = [
    ['', undefined],
    ['server = ""', undefined],
    ['server = "r.example"', { endpoint: 'https://r.example', apiPath: '/v2' }],
    ['server = "r.example:5000/team"', { endpoint: 'https://r.example:5000', apiPath: '/team/v2' }],
    ['server = "http://r.example/team/v2"', { endpoint: 'http://r.example', apiPath: '/team/v2' }],
    ['server = "http://r.example"\noverride_path = true', { endpoint: 'http://r.example', apiPath: '' }],
    ['server = "http://[::1]:5000"', { endpoint: 'http://[::1]:5000', apiPath: '/v2' }],
  ];
  for (const [text, expected] of table) assert.deepEqual(planHosts(text, 'f'), [{ ...none, ...expected }], text);
});

test('what can’t be is refused with file, key and what it may be', () => {
  const table: [string, RegExp][] = [
    ['srver = "x"', /^f: srver: is not known here; there are server, host, capabilities/],
    ['server = true', /^f: server: must be/],
    ['server = "ftp://x"', /^f: server: must be an address as https:/],
    ['server = "https://me:pw@x"', /^f: server: must be an address/],
    ['host = "x"', /^f: host: must be tables/],
    ['[host]\n"https://m" = "x"', /^f: host\."https:\/\/m": must be a table: \[host\."https:\/\/m"\]/],
    ['[host."https://m"]\nserver = "x"', /^f: host\."https:\/\/m"\.server: is not known/],
    ['[host."https://m"]\nrewrite = {}', /\.rewrite: is not known/],
    ['[host."https://m?x=1"]', /must be an address/],
    ['[host."https://m"]\ncapabilities = ["fly"]', /\.capabilities: must be some of pull, resolve, push, not "fly"/],
    ['capabilities = true', /^f: capabilities: must be a text in quotes, or a list/],
    ['skip_verify = "yes"', /skip_verify: must be true or false/],
    ['ca = [true]', /^f: ca: must be a text/],
    ['client = [["a", "b", "c"]]', /^f: client: must be a file/],
    ['header = "x"', /header: must be a table/],
    ['header = { "x y" = "1" }', /header\.x y: is no name/],
    ['header = { Range = "1" }', /header\.Range: is no name/],
    ['header = { x = "a\\nb" }', /header\.x: holds a character/],
    ['dial_timeout = "5"', /dial_timeout: must be a duration/],
    ['dial_timeout = "0s"', /dial_timeout: must be a duration/],
    ['dial_timeout = "5s or so"', /dial_timeout: must be a duration/],
    ['dial_timeout = 5', /dial_timeout: must be a duration/],
    ['server = 1979-05-27', /^f: server: must be/],
    ['[[host]]', /^f: host: must be tables/],
    ['server = "x"\nserver = docker.io', /^f: line 2: /],
    ['[host]\n\n[host]', /^f: line 3: /],
    [`ca = ${'['.repeat(5000)}`, /^f: line 1: .*nest/],
  ];
  for (const [text, message] of table)
    assert.throws(
      () => planHosts(text, 'f'),
      error => isUmiakError(error, 'Invalid') && message.test(error.message) && error.hint !== undefined,
      text,
    );
});

test('the folders of a registry, the first that is there', () => {
  assert.deepEqual(foldersOf('docker.io'), ['docker.io', '_default']);
  assert.deepEqual(foldersOf('r.example:5000'), ['r.example_5000_', 'r.example:5000', '_default']);
  assert.deepEqual(foldersOf('..'), ['_default']);
});
