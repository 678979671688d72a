import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type FeatureFacts, planFeatures } from './runtime-features.ts';

const cases: [what: string, given: Partial<FeatureFacts>, expected: [recursiveReadOnly: boolean, userNamespaces: boolean]][] = [
  [
    'a document that names both',
    { document: { mountOptions: ['ro', 'rro'], linux: { mountExtensions: { idmap: { enabled: true } } } } },
    [true, true],
  ],
  ['a document without idmapped mounts', { type: 'oci', document: { mountOptions: ['rro'] } }, [true, false]],
  ['runc needs none, since what it mounts is mapped already', { document: { mountOptions: ['rro'] } }, [true, true]],
  ['crun without a document is known', { type: 'crun' }, [true, true]],
  ['another program without a document is not', { type: 'oci' }, [false, false]],
  ['a kernel without mount_setattr', { type: 'crun', kernel: '5.10.0-30-amd64' }, [false, false]],
];
for (const [what, given, expected] of cases)
  test(`features of a runtime: ${what}`, () => {
    const features = planFeatures({ name: 'x', type: 'runc', version: 'x 1', kernel: '6.1.0', ...given });
    assert.deepEqual([features.recursiveReadOnlyMounts, features.userNamespaces], expected);
  });
