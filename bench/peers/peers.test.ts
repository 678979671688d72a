import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wrapperModule } from './kubernetes.ts';
import { hasPeer } from './wanted.ts';

test('peers are wanted by name or all at once', () => {
  assert.deepEqual(
    [undefined, '', 'docker', 'docker,kubernetes', 'all', 'kube'].map(wanted => hasPeer('kubernetes', wanted ?? '')),
    [false, false, false, true, true, false],
  );
});

test('what a module finds in its own tree is replaced by what was published of it', () => {
  const goMod =
    'module k8s.io/kubernetes\n\ngo 1.26.0\n\nreplace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n\tk8s.io/kms => ./staging/src/k8s.io/kms\n)\n';
  assert.deepEqual(wrapperModule({ module: 'k8s.io/kubernetes', version: 'v1.36.3' }, goMod).split('\n'), [
    'module umiak.bench/peer',
    '',
    'go 1.26.0',
    '',
    'require k8s.io/kubernetes v1.36.3',
    '',
    'replace k8s.io/api => k8s.io/api v0.36.3',
    'replace k8s.io/kms => k8s.io/kms v0.36.3',
    '',
  ]);
  assert.doesNotMatch(
    wrapperModule({ module: 'go.etcd.io/etcd/server/v3', version: 'v3.6.16' }, 'go 1.24\nreplace a => ../api\n'),
    /replace/,
  );
});
