import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pod } from './pod.ts';
import { problemsOf } from './testing.ts';

const web = { name: 'web', image: 'nginx:1' };
const pod = (spec: object, container: object = {}) => ({ spec: { containers: [{ ...web, ...container }], ...spec } });
const volume = (source: object) => pod({ volumes: [{ name: 'v', ...source }] });
const at = 'spec.volumes[0]';

const volumes: [why: string, source: object, problems: string[]][] = [
  ['a whole iSCSI target', { iscsi: { targetPortal: 'p', iqn: 'iqn.2015-02.example.com:test', lun: 1 } }, []],
  ['a disk of AWS without its number', { awsElasticBlockStore: { volumeID: '' } }, [`${at}.awsElasticBlockStore.volumeID: Required value`]],
  [
    'a partition that is none',
    { gcePersistentDisk: { pdName: 'a', partition: 256 } },
    [`${at}.gcePersistentDisk.partition: Invalid value: 256: must be between 1 and 255, inclusive`],
  ],
  [
    'a repository outside',
    { gitRepo: { repository: 'r', directory: '../x' } },
    [`${at}.gitRepo.directory: Invalid value: "../x": must not contain '..'`],
  ],
  [
    'iSCSI by an unknown name',
    { iscsi: { targetPortal: 'p', iqn: 'abc', lun: 1 } },
    [`${at}.iscsi.iqn: Invalid value: "abc": must be valid format starting with iqn, eui, or naa`],
  ],
  [
    'iSCSI with a password that is nowhere',
    { iscsi: { targetPortal: 'p', iqn: 'eui.0123456789abcdef', lun: 300, chapAuthSession: true } },
    [`${at}.iscsi.lun: Invalid value: 300: must be between 0 and 255, inclusive`, `${at}.iscsi.secretRef: Required value`],
  ],
  [
    'Fibre Channel without a target',
    { fc: {} },
    [`${at}.fc.targetWWNs: Required value: must specify either targetWWNs or wwids, but not both`],
  ],
  [
    'Fibre Channel without a lun',
    { fc: { targetWWNs: ['a'] } },
    [`${at}.fc.lun: Required value: lun is required if targetWWNs is specified`],
  ],
  ['an unnamed dataset', { flocker: {} }, [`${at}.flocker: Required value: one of datasetName and datasetUUID is required`]],
  [
    'Quobyte without ports',
    { quobyte: { registry: 'host', volume: 'v' } },
    [`${at}.quobyte.registry: Invalid value: "host": must be a host:port pair or multiple pairs separated by commas`],
  ],
  [
    'a disk of Azure cached somehow',
    { azureDisk: { diskName: 'a', diskURI: 'b', cachingMode: 'Some' } },
    [`${at}.azureDisk.cachingMode: Unsupported value: "Some": supported values: "None", "ReadOnly", "ReadWrite"`],
  ],
  ['CephFS without monitors', { cephfs: {} }, [`${at}.cephfs.monitors: Required value`]],
  ['RBD without an image', { rbd: { monitors: ['m'] } }, [`${at}.rbd.image: Required value`]],
  ['a driver without a name', { csi: { driver: '' } }, [`${at}.csi.driver: Required value`]],
  [
    'a driver whose secret has no name',
    { csi: { driver: 'd.example.com', nodePublishSecretRef: {} } },
    [`${at}.csi.nodePublishSecretRef.name: Required value`],
  ],
  ['an image that is none', { image: {} }, [`${at}.image.reference: Required value`]],
  ['a claim without a template', { ephemeral: {} }, [`${at}.ephemeral.volumeClaimTemplate: Required value`]],
];
for (const [why, source, problems] of volumes) test(`volumes: ${why}`, () => assert.deepEqual(problemsOf(Pod, volume(source)), problems));

const container = 'spec.containers[0]';
const dns = (search: string) => ({ dnsConfig: { searches: Array.from({ length: 20 }, () => search) } });
const rules: [why: string, draft: object, problems: string[]][] = [
  [
    'huge pages alone',
    pod({}, { resources: { limits: { 'hugepages-2Mi': '4Mi' } } }),
    [`${container}.resources: Forbidden: HugePages require cpu or memory`],
  ],
  [
    'half a huge page',
    pod({}, { resources: { limits: { memory: '1Gi', 'hugepages-2Mi': '3Mi' } } }),
    ['limits', 'requests'].map(
      which => `${container}.resources.${which}[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of 2Mi`,
    ),
  ],
  [
    'what only quotas count',
    pod({}, { resources: { limits: { pods: '1' }, requests: { pods: '1' } } }),
    ['limits', 'requests'].map(
      which => `${container}.resources.${which}[pods]: Invalid value: "pods": must be a standard resource for containers`,
    ),
  ],
  [
    'a claim that the pod does not make',
    pod({}, { resources: { claims: [{ name: 'gpu' }] } }),
    [`${container}.resources.claims[0]: Not found: "gpu": must be one of the names in pod.spec.resourceClaims which is empty`],
  ],
  [
    'a claim of nothing',
    pod({ resourceClaims: [{ name: 'gpu' }] }),
    ['spec.resourceClaims[0]: Invalid value: {}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`'],
  ],
  [
    'a device that is a directory',
    pod({ volumes: [{ name: 'v', emptyDir: {} }] }, { volumeDevices: [{ name: 'v', devicePath: '/d' }] }),
    [
      `${container}.volumeDevices[0].name: Invalid value: "v": can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode`,
    ],
  ],
  [
    'a device mounted besides',
    pod(
      { volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'c' } }] },
      { volumeDevices: [{ name: 'v', devicePath: '/d' }], volumeMounts: [{ name: 'v', mountPath: '/m' }] },
    ),
    [
      `${container}.volumeMounts[0].name: Invalid value: "v": must not already exist in volumeDevices`,
      `${container}.volumeDevices[0].name: Invalid value: "v": must not already exist in volumeMounts`,
    ],
  ],
  [
    'a resize of what has no size',
    pod({}, { resizePolicy: [{ resourceName: 'gpu', restartPolicy: 'NotRequired' }] }),
    [`${container}.resizePolicy: Unsupported value: "gpu": supported values: "cpu", "memory"`],
  ],
  [
    'a stop signal of no system',
    pod({}, { lifecycle: { stopSignal: 'SIGUSR1' } }),
    [`${container}.lifecycle.stopSignal: Forbidden: may not be set for containers with empty \`spec.os.name\``],
  ],
  [
    'restart rules without a policy',
    pod({}, { restartPolicyRules: [{ action: 'Restart', exitCodes: { operator: 'In', values: [1] } }] }),
    [`${container}.restartPolicy: Required value: must specify restartPolicy when restart rules are used`],
  ],
  [
    'AppArmor without a profile',
    pod({}, { securityContext: { appArmorProfile: { type: 'Localhost' } } }),
    [`${container}.securityContext.appArmorProfile.localhostProfile: Required value: must be set when AppArmor type is Localhost`],
  ],
  [
    "the pod's seccomp profile",
    pod({ securityContext: { seccompProfile: { type: 'Some' } } }),
    ['spec.securityContext.seccompProfile.type: Unsupported value: "Some": supported values: "Localhost", "RuntimeDefault", "Unconfined"'],
  ],
  [
    "a sysctl of the node's network",
    pod({ hostNetwork: true, securityContext: { sysctls: [{ name: 'net.ipv4.tcp_syncookies', value: '1' }] } }),
    ['spec.securityContext.sysctls[0].name: Invalid value: "net.ipv4.tcp_syncookies": may not be specified when \'hostNetwork\' is true'],
  ],
  [
    'users of its own in the network of the node',
    pod({ hostUsers: false, hostNetwork: true }),
    ['spec.hostNetwork: Forbidden: when `pod.Spec.HostUsers` is false'],
  ],
  [
    'Linux on Windows',
    pod({ os: { name: 'windows' }, securityContext: { runAsUser: 1 } }, { securityContext: { privileged: true } }),
    [
      'spec.securityContext.runAsUser: Forbidden: cannot be set for a windows pod',
      `${container}.securityContext.privileged: Forbidden: cannot be set for a windows pod`,
    ],
  ],
  [
    'Windows on Linux',
    pod({ os: { name: 'linux' } }, { securityContext: { windowsOptions: { runAsUserName: 'a' } } }),
    [`${container}.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod`],
  ],
];
for (const [why, draft, problems] of rules) test(`rules: ${why}`, () => assert.deepEqual(problemsOf(Pod, draft), problems));

test('rules: search domains are no more than 2048 characters together', () => {
  const [problem, ...others] = problemsOf(Pod, pod(dns(`${'a'.repeat(60)}.${'b'.repeat(60)}`)));
  assert.match(
    problem ?? '',
    /^spec\.dnsConfig\.searches: Invalid value: .*: must not have more than 2048 characters \(including spaces\) in the search list$/,
  );
  assert.deepEqual(others, []);
});
