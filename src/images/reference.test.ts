import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isUmiakError } from '#base/errors.ts';
import { parseReference, toCanonicalName, toFamiliarName } from './reference.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;

test('references get Docker’s defaults', () => {
  const table: Record<string, string> = {
    redis: 'docker.io/library/redis:latest',
    'redis:7': 'docker.io/library/redis:7',
    'library/redis:7': 'docker.io/library/redis:7',
    'bitnami/redis': 'docker.io/bitnami/redis:latest',
    'docker.io/redis': 'docker.io/library/redis:latest',
    'index.docker.io/redis:7': 'docker.io/library/redis:7',
    'localhost/a': 'localhost/a:latest',
    'localhost:5000/a/b/c:v1': 'localhost:5000/a/b/c:v1',
    '127.0.0.1:5000/a': '127.0.0.1:5000/a:latest',
    '[::1]:5000/a:1': '[::1]:5000/a:1',
    'registry.k8s.io/pause:3.10': 'registry.k8s.io/pause:3.10',
    'Host/a': 'Host/a:latest',
    [`redis@${DIGEST}`]: `docker.io/library/redis@${DIGEST}`,
    [`redis:7@${DIGEST}`]: `docker.io/library/redis@${DIGEST}`,
    'a__b/c--d/e.f_g:X.y-z': 'docker.io/a__b/c--d/e.f_g:X.y-z',
  };
  for (const [text, canonical] of Object.entries(table)) {
    assert.equal(toCanonicalName(parseReference(text)), canonical, text);
    assert.equal(toCanonicalName(parseReference(toFamiliarName(canonical))), canonical, text);
  }
});

test('the familiar form drops what is implied and nothing else', () => {
  assert.equal(toFamiliarName('docker.io/library/redis:7'), 'redis:7');
  assert.equal(toFamiliarName('docker.io/bitnami/redis:7'), 'bitnami/redis:7');
  assert.equal(toFamiliarName('quay.io/library/redis:7'), 'quay.io/library/redis:7');
});

test('bad references are refused with a sentence', () => {
  const table: [string, RegExp][] = [
    ['', /is empty/],
    ['Redis', /lower case/],
    ['redis:', /the tag/],
    ['redis:a b', /the tag/],
    [`redis:${'x'.repeat(129)}`, /the tag/],
    ['redis@sha256:abc', /the digest/],
    [`redis@${DIGEST}@${DIGEST}`, /more than one @/],
    ['a//b', /the repository/],
    ['-a', /the repository/],
    ['a..b', /the repository/],
    ['../../etc/passwd', /not a registry/],
    ['localhost/', /names no repository/],
    ['ho st.x/a', /not a registry/],
    ['a'.repeat(64), /image id/],
    [`x/${'a'.repeat(256)}`, /longer than 255/],
  ];
  for (const [text, message] of table)
    assert.throws(
      () => parseReference(text),
      error => isUmiakError(error, 'Invalid') && message.test(error.message),
      text,
    );
});
