import assert from 'node:assert/strict';
import { test } from 'node:test';
import { messageOf } from '#base/errors.ts';
import type { DockerContainer } from '../rooms.ts';
import { DetachScanner, parseDetachKeys } from './detach-keys.ts';
import { planLogBounds, planLogConfig } from './log-config.ts';
import { parseMoment } from './log-query.ts';
import { renderTag } from './log-tag.ts';

const refusals: [type: string, options: Record<string, string>, says: RegExp][] = [
  ['nothing', {}, /^logger: no log driver named 'nothing' is registered$/],
  ['gelf', {}, /no log driver named 'gelf'/],
  ['journald', {}, /^journald is not enabled on this host$/],
  ['json-file', { 'max-sise': '1m' }, /^unknown log opt 'max-sise' for json-file log driver$/],
  ['json-file', { 'max-size': 'much' }, /max-size/],
  ['json-file', { 'max-size': '1m', 'max-file': '0' }, /^max-file cannot be less than 1$/],
  ['json-file', { 'max-file': '3', compress: 'true' }, /^compress cannot be true when/],
  ['json-file', { 'labels-regex': '(' }, /labels-regex/],
  ['json-file', { tag: '{{.Nothing}}' }, /Nothing/],
  ['json-file', { mode: 'sometimes' }, /^logger: logging mode not supported: sometimes$/],
  ['none', { 'max-size': '1m' }, /unknown log opt/],
  ['local', { labels: 'a' }, /unknown log opt/],
  ['syslog', { 'syslog-address': 'here' }, /should be in form proto:\/\/address/],
  ['syslog', { 'syslog-address': 'tcp+tls://a:1' }, /TLS/],
  ['syslog', { 'syslog-facility': 'none' }, /invalid syslog facility/],
  ['syslog', { 'syslog-format': 'x' }, /Invalid syslog format/],
];
for (const [Type, Config, says] of refusals)
  test(`log driver ${Type} ${JSON.stringify(Config)} is refused`, () => {
    assert.throws(
      () => planLogConfig({ Type, Config }, false),
      error => says.test(messageOf(error)),
    );
  });

test('log drivers that are taken', () => {
  assert.deepEqual(planLogConfig(undefined), { Type: 'json-file', Config: {} });
  assert.deepEqual(planLogConfig({ Type: '', Config: { 'max-size': '10m' } }), { Type: 'json-file', Config: { 'max-size': '10m' } });
  for (const address of ['udp://1.2.3.4:1', 'tcp://[::1]:601', 'tcp://host', 'unix:///dev/log', 'unixgram:///dev/log'])
    planLogConfig({ Type: 'syslog', Config: { 'syslog-address': address, 'syslog-facility': 'local3', tag: '{{.Name}}' } });
  planLogConfig({ Type: 'json-file', Config: { 'max-file': '100' } });
  planLogConfig({ Type: 'journald', Config: { labels: 'a' } }, true);
});

test('how much of a log stays', () => {
  const bounds = (Type: string, Config: Record<string, string> = {}) => planLogBounds({ Type, Config });
  assert.equal(bounds('json-file'), undefined);
  assert.equal(bounds('none'), undefined);
  assert.equal(bounds('json-file', { 'max-size': '-1' }), undefined);
  assert.deepEqual(bounds('json-file', { 'max-size': '10k' }), { maxBytes: 10_240, files: 1, compress: false });
  assert.deepEqual(bounds('json-file', { 'max-size': '1.5MB', 'max-file': '3', compress: 'true' }), {
    maxBytes: 1_572_864,
    files: 3,
    compress: true,
  });
  assert.deepEqual(bounds('local'), { maxBytes: 20 << 20, files: 5, compress: true });
  assert.deepEqual(bounds('syslog', { 'cache-max-size': '1m' }), { maxBytes: 1 << 20, files: 5, compress: true });
});

test('moments', () => {
  const moment = (text: string) => parseMoment(new URLSearchParams({ since: text }), 'since');
  assert.equal(moment(''), undefined);
  assert.equal(moment('0'), undefined);
  assert.equal(moment('1136073600.000000001'), '2006-01-01T00:00:00.000000001Z');
  assert.equal(moment('1136073600'), '2006-01-01T00:00:00.000000000Z');
  assert.equal(moment('2006-01-01T02:00:00.5+02:00'), '2006-01-01T00:00:00.500000000Z');
  for (const bad of ['x', '1e9', '999999999999', '2006-13-01T00:00:00Z', '10m'])
    assert.throws(() => moment(bad), /invalid value for "since"/, bad);
});

test('a tag is one line, whatever a command has in it', () => {
  const container = {
    id: 'f'.repeat(64),
    name: 'one',
    data: { image: 'i', path: 'sh', args: ['-c', 'a\n<0>b'] },
    engine: { imageId: 'x' },
  };
  assert.equal(renderTag('{{.Name}} {{.Command}}', container as unknown as DockerContainer), 'one sh -c a <0>b');
});

test('detach keys', () => {
  const keys = (text?: string) => [...parseDetachKeys(text)];
  assert.deepEqual(keys(), [16, 17]);
  assert.deepEqual(keys('ctrl-@,a,ctrl-[,ctrl-_'), [0, 97, 27, 31]);
  for (const bad of ['ctrl-', 'ab', 'ctrl-A1', 'é', ',']) assert.throws(() => keys(bad), /Invalid detach keys/, bad);
  const typed = (...chunks: string[]) => {
    const scanner = new DetachScanner(parseDetachKeys('a,b,c'));
    const results = chunks.map(chunk => scanner.scan(Buffer.from(chunk)));
    return results.map(({ bytes, isDetached }) => `${bytes}${isDetached ? '!' : ''}`).join('|');
  };
  assert.equal(typed('xyz'), 'xyz');
  assert.equal(typed('xabcy'), 'x!');
  assert.equal(typed('a', 'b', 'c'), '||!');
  assert.equal(typed('a', 'b', 'x'), '||abx');
  assert.equal(typed('aabc'), 'a!');
  assert.equal(typed('aba', 'bc'), 'ab|!');
});
