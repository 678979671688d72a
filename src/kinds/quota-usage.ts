import { matchesLabels, requirementsOf } from '#base/label-selector.ts';
import { parseQuantity, type Quantity } from '#base/quantity.ts';
import { groupResourceOf, type KubeObject, type Resource } from './kind.ts';
import { type Amounts, podLimits, podRequests, qosClassOf } from './pod-resources.ts';
import { isPodTerminal } from './pod-template.ts';
import { scopesOf } from './resource-quota.ts';
import { hasNodePorts } from './service.ts';
import type {
  PersistentVolumeClaim,
  Pod,
  PodAffinityTerm,
  PodSpec,
  ResourceQuotaSpec,
  ScopedResourceSelectorRequirement,
  Service,
} from './types.gen.ts';

/** What an object uses, by the names that quotas bound. */
export type Usage = Record<string, Quantity>;

const NANO = 1_000_000_000n;
const ONE = count(1);
/** Core kinds whose plural alone is a quota's name. */
const PLAINLY_COUNTED = new Set(['configmaps', 'secrets', 'resourcequotas', 'replicationcontrollers']);
const STORAGE_CLASS_SUFFIX = '.storageclass.storage.k8s.io/';

/** The resource (`plural.group`, core: `plural`) whose objects use what a quota calls `name`. */
export function quotaSourceOf(name: string): string {
  if (name.startsWith('count/')) return name.slice('count/'.length);
  if (name === 'services' || name.startsWith('services.')) return 'services';
  if (name === 'persistentvolumeclaims' || name === 'requests.storage' || name.includes(STORAGE_CLASS_SUFFIX))
    return 'persistentvolumeclaims';
  return PLAINLY_COUNTED.has(name) ? name : 'pods';
}

/** All that `object` uses. Pods that have ended, or should have by now, are only objects. */
export function quotaUsageOf(resource: Resource, object: KubeObject, nowMs: number): Usage {
  const usage: Usage = { [`count/${groupResourceOf(resource)}`]: ONE };
  if (resource.group !== '') return usage;
  switch (resource.plural) {
    case 'pods':
      if (!hasEnded(object as Pod, nowMs)) addPod(usage, (object as Pod).spec);
      break;
    case 'services':
      addService(usage, (object as Service).spec);
      break;
    case 'persistentvolumeclaims':
      addClaim(usage, object as PersistentVolumeClaim);
      break;
    default:
      if (PLAINLY_COUNTED.has(resource.plural)) usage[resource.plural] = ONE;
  }
  return usage;
}

/** True when a quota's scopes hold for the object; without scopes they always do. Only pods and claims have any. */
export function isInQuotaScope(spec: ResourceQuotaSpec, { group, plural }: Resource, object: KubeObject): boolean {
  const scopes = scopesOf(spec);
  if (scopes.length === 0) return true;
  if (group === '' && plural === 'pods') return scopes.every(scope => podMatches(scope, (object as Pod).spec));
  if (group === '' && plural === 'persistentvolumeclaims')
    return scopes.every(scope => claimMatches(scope, object as PersistentVolumeClaim));
  return false;
}

/** Compute resources that a bounded pod has to name, by the containers that do not. Empty: nothing is missing. */
export function missingForQuota(hard: readonly string[], { containers, initContainers = [], resources }: PodSpec): Map<string, string[]> {
  const wanted = hard.filter(name => MUST_NAME.has(name));
  const missing = new Map<string, string[]>();
  if (wanted.length === 0) return missing;
  const named = ({ requests, limits }: NonNullable<PodSpec['resources']> = {}) => ({
    cpu: requests?.cpu,
    memory: requests?.memory,
    'requests.cpu': requests?.cpu,
    'requests.memory': requests?.memory,
    'limits.cpu': limits?.cpu,
    'limits.memory': limits?.memory,
  });
  const ofPod = named(resources);
  for (const container of [...containers, ...initContainers]) {
    const own = named(container.resources);
    for (const name of wanted) {
      if (own[name as 'cpu'] !== undefined || ofPod[name as 'cpu'] !== undefined) continue;
      missing.set(name, [...(missing.get(name) ?? []), container.name]);
    }
  }
  return missing;
}

const MUST_NAME = new Set(['cpu', 'memory', 'requests.cpu', 'requests.memory', 'limits.cpu', 'limits.memory']);

function count(n: number): Quantity {
  return { nano: BigInt(n) * NANO, format: 'DecimalSI' };
}

/** Amounts are thousandths of `cpu` and whole units of everything else. */
function amount(resource: string, value: number): Quantity {
  if (resource === 'cpu') return { nano: BigInt(Math.round(value)) * 1_000_000n, format: 'DecimalSI' };
  return { nano: BigInt(Math.round(value)) * NANO, format: value % (1 << 20) === 0 ? 'BinarySI' : 'DecimalSI' };
}

function addPod(usage: Usage, spec: PodSpec): void {
  usage.pods = ONE;
  eachAmount(podRequests(spec), (name, value) => {
    if (name === 'cpu' || name === 'memory' || name === 'ephemeral-storage' || name.startsWith('hugepages-')) usage[name] = value;
    usage[`requests.${name}`] = value;
  });
  eachAmount(podLimits(spec), (name, value) => {
    if (name === 'cpu' || name === 'memory' || name === 'ephemeral-storage') usage[`limits.${name}`] = value;
  });
}

function eachAmount(amounts: Amounts, add: (name: string, value: Quantity) => void): void {
  for (const name in amounts) add(name, amount(name, amounts[name]!));
}

function addService(usage: Usage, spec: Service['spec']): void {
  const ports = spec.ports ?? [];
  usage.services = ONE;
  usage['services.loadbalancers'] = count(spec.type === 'LoadBalancer' ? 1 : 0);
  const allocates = hasNodePorts(spec) && (spec.type === 'NodePort' || spec.allocateLoadBalancerNodePorts !== false);
  usage['services.nodeports'] = count(
    allocates ? ports.length : spec.type === 'LoadBalancer' ? ports.filter(({ nodePort }) => nodePort).length : 0,
  );
}

function addClaim(usage: Usage, { metadata, spec, status }: PersistentVolumeClaim): void {
  const storageClass = metadata.annotations?.['volume.beta.kubernetes.io/storage-class'] ?? spec.storageClassName;
  const requested = parseQuantity(spec.resources?.requests?.storage ?? 0);
  const allocated = parseQuantity(status?.allocatedResources?.storage ?? 0);
  const storage = allocated.nano > requested.nano ? allocated : requested;
  const prefix = storageClass ? `${storageClass}${STORAGE_CLASS_SUFFIX}` : undefined;
  for (const [name, value] of [['persistentvolumeclaims', ONE] as const, ['requests.storage', storage] as const]) {
    usage[name] = value;
    if (prefix) usage[prefix + name] = value;
  }
}

function hasEnded(pod: Pod, nowMs: number): boolean {
  if (isPodTerminal(pod)) return true;
  const { deletionTimestamp, deletionGracePeriodSeconds } = pod.metadata;
  if (deletionTimestamp === undefined || deletionGracePeriodSeconds === undefined) return false;
  return nowMs > Date.parse(String(deletionTimestamp)) + deletionGracePeriodSeconds * 1000;
}

function podMatches(scope: ScopedResourceSelectorRequirement, spec: PodSpec): boolean {
  switch (scope.scopeName) {
    case 'Terminating':
      return isTerminating(spec);
    case 'NotTerminating':
      return !isTerminating(spec);
    case 'BestEffort':
      return qosClassOf(spec) === 'BestEffort';
    case 'NotBestEffort':
      return qosClassOf(spec) !== 'BestEffort';
    case 'CrossNamespacePodAffinity':
      return affinityTerms(spec).some(({ namespaces, namespaceSelector }) => namespaces?.length || namespaceSelector);
    case 'PriorityClass':
      return namesMatch(scope, spec.priorityClassName ? [spec.priorityClassName] : []);
    default:
      return false;
  }
}

function claimMatches(scope: ScopedResourceSelectorRequirement, { spec, status }: PersistentVolumeClaim): boolean {
  if (scope.scopeName !== 'VolumeAttributesClass') return false;
  const names = [
    spec.volumeAttributesClassName,
    status?.currentVolumeAttributesClassName,
    status?.modifyVolumeStatus?.targetVolumeAttributesClassName,
  ];
  return namesMatch(
    scope,
    names.flatMap(name => name || []),
  );
}

/** True when one of the names (or, without any, their absence) meets the requirement. */
function namesMatch({ operator, values }: ScopedResourceSelectorRequirement, names: string[]): boolean {
  const requirements = requirementsOf({ matchExpressions: [{ key: 'name', operator, values }] });
  if (names.length === 0) return matchesLabels(requirements, {});
  return names.some(name => matchesLabels(requirements, { name }));
}

function isTerminating({ activeDeadlineSeconds }: PodSpec): boolean {
  return activeDeadlineSeconds !== undefined && activeDeadlineSeconds >= 0;
}

function affinityTerms({ affinity }: PodSpec): PodAffinityTerm[] {
  return [affinity?.podAffinity, affinity?.podAntiAffinity].flatMap(each => [
    ...(each?.requiredDuringSchedulingIgnoredDuringExecution ?? []),
    ...(each?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(({ podAffinityTerm }) => podAffinityTerm),
  ]);
}
