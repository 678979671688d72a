import type { KubeObject } from '#kinds/kind.ts';
import type { Namespace, Pod, PodSpec, PodTemplateSpec } from '#kinds/types.gen.ts';
import type { ResourceCache } from '../../resource-cache.ts';
import type { Resources, Stored } from '../../resources.ts';
import { forbidden, invalid } from '../../status.ts';
import type { AdmissionPlugin, Write } from '../../write.ts';
import { formatViolations, violationsOf } from './checks.ts';
import { formatLevel, hasPolicy, isStricter, type LevelVersion, type Policy, toPolicy } from './policy.ts';
import type { CheckedPod } from './violations.ts';

/** Pods looked at when a namespace becomes stricter. */
const MOST_PODS = 3000;
/** Subresources of pods that can't change what is judged. */
const IGNORED = new Set(['exec', 'attach', 'binding', 'eviction', 'log', 'portforward', 'proxy', 'status']);
const TEMPLATED: [group: string, plural: string][] = [
  ['', 'podtemplates'],
  ['', 'replicationcontrollers'],
  ['apps', 'replicasets'],
  ['apps', 'deployments'],
  ['apps', 'statefulsets'],
  ['apps', 'daemonsets'],
  ['batch', 'jobs'],
  ['batch', 'cronjobs'],
];

/** The Pod Security Standards: refuses pods, warns of them and of workloads that would make them, as the namespace's labels ask for. */
export function podSecurity(resources: Resources): AdmissionPlugin {
  const [pods, namespaces] = [resources.stored('', 'v1', 'pods'), resources.stored('', 'v1', 'namespaces')];
  const templated = new Set<ResourceCache>(TEMPLATED.map(([group, plural]) => resources.stored(group, 'v1', plural).cache));

  /** Undefined: nothing is asked for. */
  const policyOf = ({ namespace }: Write): Policy | undefined => {
    const labels = namespaces.cache.get(namespace)?.projection.labels;
    return hasPolicy(labels) ? toPolicy(labels).policy : undefined;
  };

  function judge(write: Write, metadata: CheckedPod['metadata'], spec: PodSpec, isEnforced: boolean): void {
    const policy = policyOf(write);
    if (!policy) return;
    const say = (level: LevelVersion) => {
      const violations = violationsOf(level, metadata, spec);
      return violations.length > 0 ? `violate PodSecurity "${formatLevel(level)}": ${formatViolations(violations)}` : undefined;
    };
    const { annotations } = write;
    if (annotations && isEnforced) annotations['pod-security.kubernetes.io/enforce-policy'] = formatLevel(policy.enforce);
    const audited = annotations && say(policy.audit);
    if (audited) annotations['pod-security.kubernetes.io/audit-violations'] = `would ${audited}`;
    const refused = isEnforced ? say(policy.enforce) : undefined;
    if (refused) throw forbidden(pods.resource, write.name, refused.replace('violate', 'violates'));
    const warned = say(policy.warn);
    if (warned) write.warnings.push(`would ${warned}`);
  }

  function judgeNamespace(write: Write): void | Promise<void> {
    const { policy, causes } = toPolicy(write.object.metadata.labels);
    const before = write.old ? toPolicy(write.old.metadata.labels) : undefined;
    if (causes.length > 0 && JSON.stringify(causes) !== JSON.stringify(before?.causes))
      throw invalid(namespaces.resource, write.name, causes);
    if (!before || !isStricter(policy.enforce, before.policy.enforce)) return;
    return warningsOfPods(pods, write.object as Namespace, policy.enforce).then(found => void write.warnings.push(...found));
  }

  return {
    name: 'PodSecurity',
    validate(write) {
      const { served, operation, subresource, object, old } = write;
      if (operation === 'DELETE') return;
      if (served.cache === pods.cache) {
        if (IGNORED.has(subresource) || (operation === 'UPDATE' && !isSignificant(object as Pod, old as Pod))) return;
        const { metadata, spec } = object as Pod;
        judge(write, metadata, spec, true);
      } else if (templated.has(served.cache)) {
        const template = subresource ? undefined : templateOf(object);
        if (template?.spec) judge(write, template.metadata ?? {}, template.spec, false);
      } else if (
        served.cache === namespaces.cache &&
        !subresource &&
        (hasPolicy(object.metadata.labels) || hasPolicy(old?.metadata.labels))
      )
        return judgeNamespace(write);
    },
  };
}

function templateOf(object: KubeObject): PodTemplateSpec | undefined {
  const loose = object as KubeObject & {
    template?: PodTemplateSpec;
    spec?: { template?: PodTemplateSpec; jobTemplate?: { spec?: { template?: PodTemplateSpec } } };
  };
  return loose.template ?? loose.spec?.template ?? loose.spec?.jobTemplate?.spec?.template;
}

/** True when an update changes what is judged: images, containers, profiles. */
function isSignificant(pod: Pod, old: Pod): boolean {
  const shape = ({ metadata, spec }: Pod) => {
    const all = [spec.containers, spec.initContainers ?? [], spec.ephemeralContainers ?? []];
    const annotations = Object.entries(metadata.annotations ?? {}).filter(([key]) => key.includes('seccomp.security.alpha.kubernetes.io/'));
    return JSON.stringify([all.map(list => list.map(({ name, image }) => [name, image])), annotations.sort()]);
  };
  return shape(pod) !== shape(old);
}

/** What the pods that are there break of the level that is enforced from now on: each reason once, with the first pod's name. */
async function warningsOfPods(pods: Stored, { metadata: { name } }: Namespace, level: LevelVersion): Promise<string[]> {
  const found = new Map<string, string[]>();
  let checked = 0;
  let total = 0;
  for (const stored of pods.cache.snapshot().view.range(`${name}/`, `${name}0`)) {
    if (++total > MOST_PODS) continue;
    if (++checked % 100 === 0) await new Promise(resolve => setImmediate(resolve));
    const pod = stored.object<Pod>();
    const reasons = violationsOf(level, pod.metadata, pod.spec).map(({ reason }) => reason);
    if (reasons.length === 0) continue;
    const text = reasons.join(', ');
    found.set(text, [...(found.get(text) ?? []), pod.metadata.name]);
  }
  const warnings =
    checked < total ? [`new PodSecurity enforce level only checked against the first ${checked} of ${total} existing pods`] : [];
  if (found.size > 0)
    warnings.push(`existing pods in namespace "${name}" violate the new PodSecurity enforce level "${formatLevel(level)}"`);
  const others = (count: number) => (count === 0 ? '' : ` (and ${count} other ${count === 1 ? 'pod' : 'pods'})`);
  return [...warnings, ...[...found].map(([text, names]) => `${names.sort()[0]}${others(names.length - 1)}: ${text}`).sort()];
}
