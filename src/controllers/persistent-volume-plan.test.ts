import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Node } from '#kinds/node.ts';
import { PersistentVolume } from '#kinds/persistent-volume.ts';
import { PersistentVolumeClaim } from '#kinds/persistent-volume-claim.ts';
import { StorageClass } from '#kinds/storage.ts';
import { made } from '#kinds/testing.ts';
import { type ClaimPlan, planClaim, planVolume } from './persistent-volume-plan.ts';

const BOUND = { 'pv.kubernetes.io/bind-completed': 'yes' };
const OURS = { 'pv.kubernetes.io/bound-by-controller': 'yes' };
const MADE = { 'pv.kubernetes.io/provisioned-by': 'x' };
const SELECTED = { 'volume.kubernetes.io/selected-node': 'n' };

const claim = (spec: object = {}, metadata: object = {}) =>
  made(PersistentVolumeClaim, {
    metadata: { name: 'c', namespace: 'default', uid: 'u', ...metadata },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '2Gi' } }, ...spec },
  });
function volume(name: string, spec: object = {}, metadata: object = {}, phase = 'Available'): PersistentVolume {
  const hostPath = { path: '/x' };
  const object = made(PersistentVolume, {
    metadata: { name, uid: `uid-${name}`, ...metadata },
    spec: { accessModes: ['ReadWriteOnce'], capacity: { storage: '2Gi' }, hostPath, ...spec },
  });
  return { ...object, status: { phase } };
}
const storageClass = (volumeBindingMode: string, provisioner = 'p') =>
  made(StorageClass, { metadata: { name: 's' }, provisioner, volumeBindingMode });
const node = made(Node, { metadata: { name: 'n', labels: { zone: 'a' } } });
const on = (zone: string) => ({
  nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'zone', operator: 'In', values: [zone] }] }] } },
});
const mine = { namespace: 'default', name: 'c', uid: 'u' };

const words = ({ bind, phase, provisioner, told }: ClaimPlan) =>
  [bind && `bind ${bind.metadata.name}`, phase, provisioner && `by ${provisioner}`, told?.reason].filter(Boolean).join(', ');

const immediate = storageClass('Immediate');
const waiting = storageClass('WaitForFirstConsumer');
const CLAIMS: [what: string, claim: PersistentVolumeClaim, volumes: PersistentVolume[], plan: string, storageClass?: StorageClass][] = [
  ['nothing there', claim(), [], 'Pending, FailedBinding'],
  [
    'the smallest that is large enough',
    claim(),
    [
      volume('l', { capacity: { storage: '9Gi' } }),
      volume('s', { capacity: { storage: '3Gi' } }),
      volume('t', { capacity: { storage: '1Gi' } }),
    ],
    'bind s',
  ],
  [
    'fewer modes before smaller ones',
    claim(),
    [volume('all', { accessModes: ['ReadWriteOnce', 'ReadWriteMany'] }), volume('one', { capacity: { storage: '4Gi' } })],
    'bind one',
  ],
  ['another mode', claim({ accessModes: ['ReadWriteMany'] }), [volume('v')], 'Pending, FailedBinding'],
  ['another volume mode', claim({ volumeMode: 'Block' }), [volume('v')], 'Pending, FailedBinding'],
  ['labels', claim({ selector: { matchLabels: { a: 'b' } } }), [volume('v'), volume('w', {}, { labels: { a: 'b' } })], 'bind w'],
  ['none of a class', claim({ storageClassName: '' }), [volume('v', { storageClassName: 's' })], 'Pending, FailedBinding'],
  ['of its class', claim({ storageClassName: 's' }), [volume('v'), volume('w', { storageClassName: 's' })], 'bind w', immediate],
  ['of a class that is not there, by hand', claim({ storageClassName: 's' }), [volume('w', { storageClassName: 's' })], 'bind w'],
  ['a class that is not there', claim({ storageClassName: 's' }), [], 'Pending, ProvisioningFailed'],
  ['a class to provision', claim({ storageClassName: 's' }), [], 'Pending, by p, ExternalProvisioning', immediate],
  [
    'a class that nobody provisions',
    claim({ storageClassName: 's' }),
    [],
    'Pending, ProvisioningFailed',
    storageClass('Immediate', 'kubernetes.io/no-provisioner'),
  ],
  ['wait', claim({ storageClassName: 's' }), [volume('v', { storageClassName: 's' })], 'Pending, WaitForFirstConsumer', waiting],
  ['wait, but one is kept', claim({ storageClassName: 's' }), [volume('v', { storageClassName: 's', claimRef: mine })], 'bind v', waiting],
  [
    'the node is chosen',
    claim({ storageClassName: 's' }, { annotations: SELECTED }),
    [volume('f', { storageClassName: 's', ...on('b') }), volume('v', { storageClassName: 's', ...on('a') })],
    'bind v',
    waiting,
  ],
  ['not available', claim(), [volume('v', {}, {}, 'Released')], 'Pending, FailedBinding'],
  ['being deleted', claim(), [volume('v', {}, { deletionTimestamp: '2026-01-01T00:00:00Z' })], 'Pending, FailedBinding'],
  ['kept for another', claim(), [volume('v', { claimRef: { namespace: 'default', name: 'd' } })], 'Pending, FailedBinding'],
  ['kept for one of its name before', claim(), [volume('v', { claimRef: { ...mine, uid: 'before' } })], 'Pending, FailedBinding'],
  ['half bound: the volume knows', claim(), [volume('a'), volume('v', { claimRef: mine }, { annotations: OURS })], 'bind v'],
  ['a certain one', claim({ volumeName: 'v' }), [volume('v', { capacity: { storage: '9Gi' } })], 'bind v'],
  ['a certain one that is not there', claim({ volumeName: 'v' }), [], 'Pending'],
  [
    'a certain one that is too small',
    claim({ volumeName: 'v' }),
    [volume('v', { capacity: { storage: '1Gi' } })],
    'Pending, VolumeMismatch',
  ],
  [
    'a certain one that is taken',
    claim({ volumeName: 'v' }),
    [volume('v', { claimRef: { ...mine, name: 'd' } })],
    'Pending, FailedBinding',
  ],
  ['bound', claim({ volumeName: 'v' }, { annotations: BOUND }), [volume('v', { claimRef: mine }, {}, 'Bound')], 'bind v'],
  ['bound, the volume forgot', claim({ volumeName: 'v' }, { annotations: BOUND }), [volume('v')], 'bind v'],
  ['bound, the volume is gone', claim({ volumeName: 'v' }, { annotations: BOUND }), [], 'Lost, ClaimLost'],
  ['bound, the name is gone', claim({}, { annotations: BOUND }), [volume('v')], 'Lost, ClaimLost'],
  [
    'bound to another’s',
    claim({ volumeName: 'v' }, { annotations: BOUND }),
    [volume('v', { claimRef: { ...mine, uid: 'o' } })],
    'Lost, ClaimMisbound',
  ],
];
for (const [what, wanted, volumes, plan, its] of CLAIMS)
  test(`a claim: ${what}`, () => assert.equal(words(planClaim({ claim: wanted, volumes, storageClass: its, node })), plan));

const bound = claim({ volumeName: 'v' });
const remove = { persistentVolumeReclaimPolicy: 'Delete', claimRef: mine };
const VOLUMES: [what: string, volume: PersistentVolume, claim: PersistentVolumeClaim | undefined, phase?: string, unbind?: string][] = [
  ['free', volume('v'), undefined, 'Available'],
  ['kept by name', volume('v', { claimRef: { namespace: 'default', name: 'c' } }), claim(), 'Available'],
  ['half bound', volume('v', { claimRef: mine }), claim()],
  ['bound', volume('v', { claimRef: mine }), bound, 'Bound'],
  ['its claim is gone', volume('v', { claimRef: mine }, {}, 'Bound'), undefined, 'Released'],
  ['its claim is another by now', volume('v', { claimRef: { ...mine, uid: 'before' } }, {}, 'Bound'), bound, 'Released'],
  ['gone, to be deleted by its maker', volume('v', remove, { annotations: MADE }, 'Bound'), undefined, 'Released'],
  ['gone, to be deleted by nobody', volume('v', remove, {}, 'Bound'), undefined, 'Failed'],
  ['gone, to be emptied', volume('v', { persistentVolumeReclaimPolicy: 'Recycle', claimRef: mine }, {}, 'Bound'), undefined, 'Failed'],
  ['failed before', volume('v', remove, {}, 'Failed'), undefined],
  ['its claim chose another', volume('w', { claimRef: mine }, { annotations: OURS }, 'Bound'), bound, 'Available', 'claim'],
  ['its claim chose another, a person had kept it', volume('w', { claimRef: mine }, {}, 'Bound'), bound, 'Available', 'uid'],
  ['its claim chose another, it was made for it', volume('w', remove, { annotations: MADE }, 'Bound'), bound, 'Released'],
];
for (const [what, seen, its, phase, unbind] of VOLUMES)
  test(`a volume: ${what}`, () => {
    const plan = planVolume(seen, its);
    assert.deepEqual([plan.phase, plan.unbind], [phase, unbind]);
  });
