import type { Pod } from '#kinds/pod.ts';
import { type Amounts, amountsOf, hostPortsOf, podRequests } from '#kinds/pod-resources.ts';
import type { NodeTraits } from './downward.ts';
import { allContainersOf } from './plan-pod.ts';

/** Why a pod can't run here, as its status says it. */
export interface Rejection {
  /** `OutOfcpu`, `OutOfmemory`, `OutOfpods`, `NodePorts`, … */
  reason: string;
  message: string;
}

export interface AdmissionPicture {
  pod: Pod;
  /** Those that this node has taken and that have not ended. */
  others: readonly Pod[];
  /** What the node has for pods; what it doesn't name is not counted. */
  allocatable: Readonly<Record<string, string>>;
  traits?: Pick<NodeTraits, 'hasAppArmor'> | undefined;
  /** Sysctls beyond the safe ones that pods may set, by name or with a `*` at the end. */
  allowedUnsafeSysctls?: readonly string[] | undefined;
}

/** Those that Kubernetes counts as safe: they change nothing but the pod that sets them. */
const SAFE_SYSCTLS: ReadonlySet<string> = new Set([
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.ip_local_reserved_ports',
  'net.ipv4.ip_unprivileged_port_start',
  'net.ipv4.ping_group_range',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_rmem',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.tcp_wmem',
]);

/**
 * Whether this node takes a pod that was bound to it: who binds may not have known of all that is here. The kubelet's checks and words, but
 * for affinity, which the scheduler alone judges. Pure.
 */
export function planAdmission({ pod, others, allocatable, traits, allowedUnsafeSysctls = [] }: AdmissionPicture): Rejection | undefined {
  const forbidden = findForbiddenSysctl(pod, allowedUnsafeSysctls);
  if (forbidden) return { reason: 'SysctlForbidden', message: `Pod was rejected: forbidden sysctl: ${forbidden}` };
  if (!traits?.hasAppArmor && wantsAppArmor(pod))
    return { reason: 'AppArmor', message: 'Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host' };
  const lack = planFit({ pod, others, allocatable });
  if (lack) return { reason: `OutOf${lack.resource}`, message: `Pod was rejected: ${lack.message}` };
  if (clashes(pod, others))
    return {
      reason: 'NodePorts',
      message: "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
    };
  return undefined;
}

/** The first resource that the node has too little of for one more pod, in the kubelet's words. Pure. */
export function planFit({ pod, others, allocatable }: AdmissionPicture): { resource: string; message: string } | undefined {
  const capacity = amountsOf(allocatable);
  const used = others.map(({ spec }) => podRequests(spec));
  const requested: Amounts = { ...podRequests(pod.spec), pods: 1 };
  for (const [resource, wanted] of Object.entries(requested)) {
    const has = capacity[resource];
    if (has === undefined || wanted <= 0) continue;
    const taken = resource === 'pods' ? others.length : used.reduce((sum, amounts) => sum + (amounts[resource] ?? 0), 0);
    if (taken + wanted <= has) continue;
    const figures = `requested: ${wanted}, used: ${taken}, capacity: ${has}`;
    return { resource, message: `Node didn't have enough resource: ${resource}, ${figures}` };
  }
  return undefined;
}

/** What a pod asks for and gets no more of than its events say. Pure. */
export function planAdmissionNotes(pod: Pod, traits: Pick<NodeTraits, 'hasSelinux'> | undefined): Rejection[] {
  const contexts = [pod.spec.securityContext, ...allContainersOf(pod).map(({ securityContext }) => securityContext)];
  if (!traits || traits.hasSelinux || !contexts.some(context => Object.values(context?.seLinuxOptions ?? {}).some(Boolean))) return [];
  return [{ reason: 'SELinuxUnavailable', message: 'seLinuxOptions are without effect: SELinux is not enabled on the host' }];
}

/** Namespaced ones of unsafe names are the node's owner's to allow. */
function findForbiddenSysctl({ spec }: Pod, allowed: readonly string[]): string | undefined {
  for (const { name } of spec.securityContext?.sysctls ?? []) {
    const plain = name.replaceAll('/', '.');
    const isAllowed = allowed.some(pattern => (pattern.endsWith('*') ? plain.startsWith(pattern.slice(0, -1)) : plain === pattern));
    if (!SAFE_SYSCTLS.has(plain) && !isAllowed) return `"${name}" not allowlisted`;
    if (spec.hostNetwork && plain.startsWith('net.')) return `"${name}" not allowed with host net enabled`;
    if (spec.hostIPC && /^(kernel\.|fs\.mqueue\.)/.test(plain)) return `"${name}" not allowed with host ipc enabled`;
  }
  return undefined;
}

function wantsAppArmor(pod: Pod): boolean {
  const contexts = [pod.spec.securityContext, ...allContainersOf(pod).map(({ securityContext }) => securityContext)];
  return contexts.some(context => context?.appArmorProfile !== undefined && context.appArmorProfile.type !== 'Unconfined');
}

function clashes({ spec }: Pod, others: readonly Pod[]): boolean {
  const wanted = hostPortsOf(spec);
  if (wanted.length === 0) return false;
  const taken = others.flatMap(other => hostPortsOf(other.spec));
  const isAny = (address: string) => address === '' || address === '0.0.0.0' || address === '::';
  return wanted.some(one =>
    taken.some(
      other =>
        one.hostPort === other.hostPort &&
        one.protocol === other.protocol &&
        (one.hostIP === other.hostIP || isAny(one.hostIP) || isAny(other.hostIP)),
    ),
  );
}
