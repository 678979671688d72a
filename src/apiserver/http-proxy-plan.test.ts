import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '#kinds/types.gen.ts';
import { parseProxyName, passedHeaders, planPodTarget, rewriteLocation, splitProxyUrl } from './http-proxy-plan.ts';

test('names of pods and services with scheme and port', () => {
  const cases: [string, string][] = [
    ['web', 'http web '],
    ['web:80', 'http web 80'],
    ['https:web', 'https web '],
    ['https:web:', 'https web '],
    ['http:web:front', 'http web front'],
    [':web:81', 'http web 81'],
  ];
  for (const [text, expected] of cases) {
    const { scheme, name, port } = parseProxyName(text);
    assert.equal(`${scheme} ${name} ${port}`, expected, text);
  }
  for (const text of ['a:b:c:d', 'ftp:web:80']) assert.throws(() => parseProxyName(text), { reason: 'BadRequest' }, text);
});

test("a pod's target", () => {
  const spec = { containers: [{ name: 'a' }, { name: 'b', ports: [{ name: 'web', containerPort: 8080 }] }] };
  const pod = { metadata: { name: 'p' }, spec, status: { podIP: '10.0.0.1' } } as Pod;
  const cases: [string, number | undefined][] = [
    ['', 8080],
    ['web', 8080],
    ['99', 99],
    ['none', undefined],
    ['0', undefined],
    ['65536', undefined],
  ];
  for (const [port, expected] of cases) {
    const plan = () => planPodTarget(pod, { scheme: 'http', port });
    if (expected === undefined) assert.throws(plan, { reason: 'BadRequest' }, port);
    else assert.deepEqual(plan(), { scheme: 'http', host: '10.0.0.1', port: expected });
  }
  assert.throws(() => planPodTarget({ ...pod, status: {} }, { scheme: 'http', port: '' }), { reason: 'BadRequest' });
});

test('headers, URLs and redirects on their way', () => {
  const headers = { authorization: 'secret', 'impersonate-user': 'x', connection: 'close', ':path': '/', accept: ['a', 'b'], 'x-own': 'y' };
  assert.deepEqual(passedHeaders(headers), { accept: 'a, b', 'x-own': 'y' });
  const base = '/api/v1/namespaces/n/pods/p/proxy';
  assert.deepEqual(splitProxyUrl(`${base}/a%2Fb/c?d=1`, 8), { base, path: '/a%2Fb/c', search: '?d=1' });
  assert.deepEqual(splitProxyUrl(base, 8), { base, path: '', search: '' });
  assert.deepEqual(splitProxyUrl(`${base}/`, 8), { base, path: '/', search: '' });
  const target = { scheme: 'http', host: '10.0.0.1', port: 80 } as const;
  const redirects: [string, string][] = [
    ['/x?y#z', `${base}/x?y#z`],
    ['http://10.0.0.1/x', `${base}/x`],
    ['http://elsewhere/x', 'http://elsewhere/x'],
    ['x/', 'x/'],
  ];
  for (const [location, expected] of redirects) assert.equal(rewriteLocation(location, target, base), expected, location);
});
