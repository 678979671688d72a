import type { Container, ObjectMeta, PodSpec, SecurityContext } from '#kinds/types.gen.ts';

/** What a check finds wrong: the reason in short, and who does what. */
export interface Violation {
  reason: string;
  detail: string;
}

/** A pod as checks see it; every container of every sort is in `containers`. */
export interface CheckedPod {
  metadata: Partial<Pick<ObjectMeta, 'annotations'>>;
  spec: PodSpec;
  containers: readonly Container[];
}

/** A pod, or a pod's template, made ready for checks. */
export function toCheckedPod(metadata: CheckedPod['metadata'], spec: PodSpec): CheckedPod {
  const containers = [...(spec.initContainers ?? []), ...spec.containers, ...((spec.ephemeralContainers ?? []) as Container[])];
  return { metadata, spec, containers };
}

/** `"a", "b"` */
export function quoted(names: Iterable<string>): string {
  return [...names].map(name => JSON.stringify(name)).join(', ');
}

/** `container "a"`, `containers "a", "b"` */
export function containersText(containers: readonly { name: string }[]): string {
  return `${plural('container', containers.length)} ${quoted(containers.map(({ name }) => name))}`;
}

/** The word, with an `s` unless there is one. */
export function plural(word: string, count: number): string {
  return count === 1 ? word : `${word}s`;
}

/** The values in order, each once. */
export function sortedSet(values: readonly string[]): string[] {
  return [...new Set(values)].sort();
}

/** `pod and container "a"`: who sets something, pod first. Undefined: nobody. */
export function settersText(isPod: boolean, containers: readonly { name: string }[]): string | undefined {
  const setters = [...(isPod ? ['pod'] : []), ...(containers.length > 0 ? [containersText(containers)] : [])];
  return setters.length > 0 ? setters.join(' and ') : undefined;
}

/** The containers whose security context is so. */
export function containersWith(pod: CheckedPod, is: (context: SecurityContext) => boolean | undefined): Container[] {
  return pod.containers.filter(({ securityContext }) => is(securityContext ?? {}));
}
