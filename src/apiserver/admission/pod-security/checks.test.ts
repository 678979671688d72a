import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PodSpec } from '#kinds/types.gen.ts';
import { formatViolations, violationsOf } from './checks.ts';
import { type Level, toPolicy } from './policy.ts';

const SAFE = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  runAsNonRoot: true,
  seccompProfile: { type: 'RuntimeDefault' },
};
const spec = (context: object = SAFE, more: object = {}) => ({ containers: [{ name: 'a', securityContext: context }], ...more }) as PodSpec;

const cases: [level: Level, what: string, spec: PodSpec, expected: string, version?: number, annotations?: Record<string, string>][] = [
  ['restricted', 'all that is asked for', spec(), ''],
  ['privileged', 'anything', spec({ privileged: true }), ''],
  [
    'restricted',
    'nothing said',
    spec({}),
    'allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")',
  ],
  ['baseline', 'nothing said', spec({}), ''],
  [
    'restricted',
    'said by the pod',
    spec(
      { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'], add: ['CHOWN'] } },
      { securityContext: { runAsNonRoot: true, runAsUser: 0, seccompProfile: { type: 'Localhost' } } },
    ),
    'unrestricted capabilities (container "a" must not include "CHOWN" in securityContext.capabilities.add), runAsUser=0 (pod must not set runAsUser=0)',
  ],
  ['restricted', 'before capabilities were asked about', spec({ ...SAFE, capabilities: undefined }), '', 21],
  [
    'restricted',
    'volumes',
    spec(SAFE, {
      volumes: [
        { name: 'n', nfs: {} },
        { name: 'h', hostPath: { path: '/' } },
        { name: 'c', configMap: {} },
      ],
    }),
    'restricted volume types (volumes "n", "h" use restricted volume types "hostPath", "nfs")',
  ],
  ['restricted', 'Windows', spec({ runAsNonRoot: true }, { os: { name: 'windows' } }), ''],
  ['baseline', 'privileged', spec({ privileged: true }), 'privileged (container "a" must not set securityContext.privileged=true)'],
  ['baseline', 'host namespaces', spec({}, { hostNetwork: true, hostPID: true }), 'host namespaces (hostNetwork=true, hostPID=true)'],
  ['baseline', 'host paths', spec({}, { volumes: [{ name: 'h', hostPath: { path: '/' } }] }), 'hostPath volumes (volume "h")'],
  [
    'baseline',
    'capabilities',
    spec({ capabilities: { add: ['NET_ADMIN', 'SYS_TIME', 'CHOWN'] } }),
    'non-default capabilities (container "a" must not include "NET_ADMIN", "SYS_TIME" in securityContext.capabilities.add)',
  ],
  [
    'baseline',
    'host ports',
    {
      containers: [
        { name: 'a', ports: [{ hostPort: 80, containerPort: 80 }] },
        { name: 'b', ports: [{ hostPort: 81, containerPort: 81 }] },
      ],
    } as PodSpec,
    'hostPorts (containers "a", "b" use hostPorts 80, 81)',
  ],
  [
    'baseline',
    'hosts of probes',
    { containers: [{ name: 'a', livenessProbe: { httpGet: { host: 'evil', port: 80 } } }] } as PodSpec,
    'probe or lifecycle host (container "a" uses probe or lifecycle host "evil")',
  ],
  [
    'baseline',
    'procMount',
    spec({ procMount: 'Unmasked' }),
    'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
  ],
  [
    'baseline',
    'SELinux',
    spec({ seLinuxOptions: { type: 'spc_t', user: 'u' } }, { securityContext: { seLinuxOptions: { role: 'r' } } }),
    'seLinuxOptions (pod and container "a" set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set; role may not be set)',
  ],
  [
    'baseline',
    'seccomp',
    spec({ seccompProfile: { type: 'Unconfined' } }, { securityContext: { seccompProfile: { type: 'Unconfined' } } }),
    'seccompProfile (pod and container "a" must not set securityContext.seccompProfile.type to "Unconfined")',
  ],
  [
    'baseline',
    'seccomp by annotation, once',
    spec({}),
    'seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod="unconfined")',
    18,
    { 'seccomp.security.alpha.kubernetes.io/pod': 'unconfined' },
  ],
  [
    'baseline',
    'AppArmor',
    spec({ appArmorProfile: { type: 'Unconfined' } }),
    'forbidden AppArmor profile (container "a" must not set AppArmor profile type to "Unconfined")',
  ],
  [
    'baseline',
    'sysctls',
    spec({}, { securityContext: { sysctls: [{ name: 'kernel.msgmax' }, { name: 'net.ipv4.tcp_rmem' }] } }),
    'forbidden sysctl (kernel.msgmax)',
  ],
  [
    'baseline',
    'sysctls of an older release',
    spec({}, { securityContext: { sysctls: [{ name: 'kernel.msgmax' }, { name: 'net.ipv4.tcp_rmem' }] } }),
    'forbidden sysctls (kernel.msgmax, net.ipv4.tcp_rmem)',
    31,
  ],
  [
    'baseline',
    'Windows host processes',
    spec({ windowsOptions: { hostProcess: true } }),
    'hostProcess (container "a" must not set securityContext.windowsOptions.hostProcess=true)',
  ],
];
for (const [level, what, pod, expected, version = 'latest' as const, annotations] of cases)
  test(`${level}: ${what}`, () =>
    assert.equal(formatViolations(violationsOf({ level, version }, annotations ? { annotations } : {}, pod)), expected));

test('labels that can not be read are enforced as restricted', () => {
  const { policy, causes } = toPolicy({ 'pod-security.kubernetes.io/enforce': 'strict', 'pod-security.kubernetes.io/warn-version': 'v2' });
  assert.equal(policy.enforce.level, 'restricted');
  assert.deepEqual(
    causes.map(({ message }) => message),
    ['Invalid value: "strict": must be one of privileged, baseline, restricted', 'Invalid value: "v2": must be "latest" or "v1.x"'],
  );
});
