import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Kind } from './kind.ts';
import { PersistentVolume } from './persistent-volume.ts';
import { PersistentVolumeClaim } from './persistent-volume-claim.ts';
import { CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment, VolumeAttributesClass } from './storage.ts';
import { made, problemsOf, updateProblemsOf } from './testing.ts';

const MODES = ['ReadWriteOnce'];
const claim = (spec: object = {}) => ({
  metadata: { name: 'a' },
  spec: { accessModes: MODES, resources: { requests: { storage: '1Gi' } }, ...spec },
});
const volume = (spec: object = {}) => ({
  metadata: { name: 'a' },
  spec: { accessModes: MODES, capacity: { storage: '1Gi' }, hostPath: { path: '/x' }, ...spec },
});
const of = (more: object) => ({ metadata: { name: 'a' }, ...more });
const all = 'supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"';

const CASES: [Kind, object, string][] = [
  [PersistentVolumeClaim, claim(), ''],
  [PersistentVolumeClaim, claim({ accessModes: [] }), 'spec.accessModes: Required value: at least 1 access mode is required'],
  [PersistentVolumeClaim, claim({ accessModes: ['Odd'] }), `spec.accessModes: Unsupported value: "Odd": ${all}`],
  [
    PersistentVolumeClaim,
    claim({ accessModes: ['ReadWriteOncePod', 'ReadWriteOnce'] }),
    'spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes',
  ],
  [PersistentVolumeClaim, claim({ resources: {} }), 'spec.resources[storage]: Required value'],
  [
    PersistentVolumeClaim,
    claim({ resources: { requests: { storage: '0' } } }),
    'spec.resources[storage]: Invalid value: "0": must be greater than zero',
  ],
  [
    PersistentVolumeClaim,
    claim({ dataSourceRef: { kind: 'X', name: 'x' } }),
    `spec.dataSource: Invalid value: "X": must be 'PersistentVolumeClaim' when referencing the default apiGroup
spec.dataSourceRef: Invalid value: "X": must be 'PersistentVolumeClaim' when referencing the default apiGroup`,
  ],
  [PersistentVolume, volume(), ''],
  [PersistentVolume, volume({ hostPath: undefined }), 'spec: Required value: must specify a volume type'],
  [PersistentVolume, volume({ hostPath: { path: '/a/../b' } }), `spec.hostPath.path: Invalid value: "/a/../b": must not contain '..'`],
  [
    PersistentVolume,
    volume({ hostPath: undefined, local: { path: '/x' } }),
    'spec.nodeAffinity: Required value: Local volume requires node affinity',
  ],
  [PersistentVolume, volume({ nfs: { server: 's', path: '/' } }), 'spec.nfs: Forbidden: may not specify more than 1 volume type'],
  [PersistentVolume, volume({ nodeAffinity: {} }), 'spec.nodeAffinity.required: Required value: must specify required node constraints'],
  [
    PersistentVolume,
    volume({ volumeAttributesClassName: 'x' }),
    'spec.csi: Required value: has to be specified when using volumeAttributesClassName',
  ],
  [StorageClass, of({ provisioner: 'x' }), ''],
  [StorageClass, of({ provisioner: '' }), 'provisioner: Required value'],
  [
    StorageClass,
    of({ provisioner: 'x', reclaimPolicy: 'Odd' }),
    'reclaimPolicy: Unsupported value: "Odd": supported values: "Delete", "Retain"',
  ],
  [
    StorageClass,
    of({ provisioner: 'x', allowedTopologies: [{ matchLabelExpressions: [{ key: 'a', values: ['b', 'b'] }] }] }),
    'allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: "b"',
  ],
  [
    VolumeAttachment,
    of({ spec: { attacher: 'x', nodeName: 'n', source: {} } }),
    'spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName',
  ],
  [VolumeAttributesClass, of({ driverName: 'x' }), 'parameters: Required value: must contain at least one key/value pair'],
  [
    CSIDriver,
    of({ spec: { fsGroupPolicy: 'Odd' } }),
    'spec.fsGroupPolicy: Unsupported value: "Odd": supported values: "File", "None", "ReadWriteOnceWithFSType"',
  ],
  [CSINode, of({ spec: { drivers: [{ name: 'x', nodeID: '' }] } }), 'spec.drivers[0].nodeID: Required value'],
  [CSIStorageCapacity, of({ storageClassName: 'x', capacity: '-1' }), 'capacity: Invalid value: "-1": must be greater than or equal to 0'],
];
for (const [kind, draft, problems] of CASES)
  test(`${kind.resource.kind}: ${problems || 'well'}`, () => assert.equal(problemsOf(kind, draft).join('\n'), problems));

const SPEC = 'spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims';
const UPDATES: [what: string, kind: Kind, now: object, old: object, problems: string][] = [
  ['a pending claim’s size', PersistentVolumeClaim, claim({ resources: { requests: { storage: '2Gi' } } }), claim(), SPEC],
  ['a claim’s volume, once', PersistentVolumeClaim, claim({ volumeName: 'v' }), claim(), ''],
  ['a claim’s class, once', PersistentVolumeClaim, claim({ storageClassName: 's' }), claim(), ''],
  ['a claim’s volume, again', PersistentVolumeClaim, claim({ volumeName: 'w' }), claim({ volumeName: 'v' }), SPEC],
  [
    'a volume’s source',
    PersistentVolume,
    volume({ hostPath: { path: '/y' } }),
    volume(),
    'spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation',
  ],
  ['a volume’s size', PersistentVolume, volume({ capacity: { storage: '2Gi' } }), volume(), ''],
  [
    'a class’s provisioner',
    StorageClass,
    of({ provisioner: 'y' }),
    of({ provisioner: 'x' }),
    'provisioner: Forbidden: updates to provisioner are forbidden.',
  ],
  [
    'a class’s mode',
    StorageClass,
    of({ provisioner: 'x', volumeBindingMode: 'WaitForFirstConsumer' }),
    of({ provisioner: 'x' }),
    'volumeBindingMode: Invalid value: "WaitForFirstConsumer": field is immutable',
  ],
];
for (const [what, kind, now, old, problems] of UPDATES) {
  const namespace = kind.resource.namespaced ? { namespace: 'default' } : {};
  const metadata = { name: 'a', uid: 'u', resourceVersion: '1', ...namespace };
  test(`an update of ${what}`, () => assert.equal(updateProblemsOf(kind, { ...now, metadata }, { ...old, metadata }).join('\n'), problems));
}

test('a claim’s source stands in both fields; what the older one can’t name only in none', () => {
  const source = { kind: 'PersistentVolumeClaim', name: 'x' };
  assert.deepEqual(made(PersistentVolumeClaim, claim({ dataSource: source })).spec.dataSourceRef, source);
  assert.deepEqual(made(PersistentVolumeClaim, claim({ dataSourceRef: source })).spec.dataSource, source);
  assert.equal(made(PersistentVolumeClaim, claim({ dataSource: { kind: 'Odd', name: 'x' } })).spec.dataSource, undefined);
});
