import type { Pod } from '#kinds/pod.ts';
import { type Amounts, amountsOf, hostPortsOf, podRequests } from '#kinds/pod-resources.ts';
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
}

/**
 * Whether this node takes a pod that was bound to it: who binds may not have known of all that is here. The kubelet's checks and words, but
 * for affinity, which the scheduler alone judges. Pure.
 */
export function planAdmission({ pod, others, allocatable }: AdmissionPicture): Rejection | undefined {
  if (wantsAppArmor(pod))
    return { reason: 'AppArmor', message: 'Pod was rejected: Cannot enforce AppArmor: this node does not apply profiles yet' };
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
