import type { FieldCause } from '#base/errors.ts';
import { isMeaningEqual } from './json-equal.ts';
import { APPARMOR_ANNOTATION } from './pod-apparmor.ts';
import { validatePodResize } from './pod-resize.ts';
import type { Container, NodeAffinity, NodeSelectorTerm, Pod, PodSpec, Toleration } from './types.gen.ts';
import { forbidden, invalid, required } from './validation.ts';

const ALLOWED =
  'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)';
const MOST_SECONDS = 2147483647;

/** A pod's spec stays as it was born, but for a few fields. */
export function validatePodUpdate({ metadata, spec }: Pod, { metadata: oldMeta, spec: old }: Pod): FieldCause[] {
  const causes = validateAnnotationUpdate(metadata.annotations, oldMeta.annotations);
  if (isMeaningEqual(spec, old)) return causes;
  for (const list of ['containers', 'initContainers'] as const) {
    if ((spec[list] ?? []).length !== (old[list] ?? []).length)
      return [...causes, forbidden(`spec.${list}`, 'pod updates may not add or remove containers')];
    spec[list]?.forEach(({ image }, i) => {
      if (!image) causes.push(required(`spec.${list}[${i}].image`));
    });
  }
  const late = validateDeadline(spec, old);
  if (late && spec.activeDeadlineSeconds !== undefined) return [...causes, late];
  if (late) causes.push(late);
  causes.push(...validateAddedTolerations(spec.tolerations ?? [], old.tolerations ?? []), ...validateGates(spec, old));
  if (old.schedulingGates?.length) causes.push(...validateNarrowed(spec, old));
  const changed = changedFields(spec, withAllowedChanges(spec, old));
  if (changed.length > 0) causes.push(forbidden('spec', `${ALLOWED}\n${changed.join('\n')}`));
  return causes;
}

const MIRROR = 'kubernetes.io/config.mirror';

/** Annotations that say what a pod is: they neither come nor go nor change. */
function validateAnnotationUpdate(now: Record<string, string> = {}, before: Record<string, string> = {}): FieldCause[] {
  const causes: FieldCause[] = [];
  const note = (key: string, verb: string) => {
    const field = `metadata.annotations[${key}]`;
    if (key.startsWith(APPARMOR_ANNOTATION)) causes.push(forbidden(field, `may not ${verb} AppArmor annotations`));
    if (key === MIRROR) causes.push(forbidden(field, `may not ${verb} mirror pod annotation`));
  };
  for (const key in before) if (now[key] !== before[key]) note(key, 'remove or update');
  for (const key in now) if (!Object.hasOwn(before, key)) note(key, 'add');
  return causes;
}

function validateDeadline({ activeDeadlineSeconds: now }: PodSpec, { activeDeadlineSeconds: before }: PodSpec): FieldCause | undefined {
  const field = 'spec.activeDeadlineSeconds';
  if (now === undefined)
    return before === undefined ? undefined : invalid(field, null, 'must not update from a positive integer to nil value');
  if (now < 0 || now > MOST_SECONDS) return invalid(field, now, `must be between 0 and ${MOST_SECONDS}, inclusive`);
  return before !== undefined && now > before ? invalid(field, now, 'must be less than or equal to previous value') : undefined;
}

function validateGates({ schedulingGates = [] }: PodSpec, { schedulingGates: old = [] }: PodSpec): FieldCause[] {
  const before = new Set(old.map(({ name }) => name));
  return schedulingGates.flatMap(({ name }, i) => {
    if (before.has(name)) return [];
    const why = `only deletion is allowed, but found new scheduling gate '${name}'`;
    return [forbidden(`spec.schedulingGates[${i}].name`, why)];
  });
}

function validateAddedTolerations(tolerations: Toleration[], old: Toleration[]): FieldCause[] {
  const identity = ({ tolerationSeconds: _, ...rest }: Toleration) => rest;
  const kept = old.every(before => tolerations.some(one => isMeaningEqual(identity(one), identity(before))));
  return kept ? [] : [forbidden('spec.tolerations', 'existing toleration can not be modified except its tolerationSeconds')];
}

/** Until it may be scheduled, a pod's choice of nodes may be narrowed, not widened. */
function validateNarrowed(spec: PodSpec, old: PodSpec): FieldCause[] {
  const causes: FieldCause[] = [];
  const narrowed = Object.entries(old.nodeSelector ?? {}).every(([key, value]) => spec.nodeSelector?.[key] === value);
  if (!narrowed)
    causes.push(
      invalid(
        'spec.nodeSelector',
        spec.nodeSelector ?? null,
        'only additions to spec.nodeSelector are allowed (no mutations or deletions)',
      ),
    );
  return [...causes, ...validateNarrowedAffinity(spec.affinity?.nodeAffinity, old.affinity?.nodeAffinity)];
}

function validateNarrowedAffinity(affinity: NodeAffinity | undefined, old: NodeAffinity | undefined): FieldCause[] {
  const termsOf = (one: NodeAffinity | undefined) => one?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  const [terms, before] = [termsOf(affinity), termsOf(old)];
  const field = 'spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms';
  if (before.length === 0) return [];
  if (before.length !== terms.length)
    return [invalid(field, terms, 'no additions/deletions to non-empty NodeSelectorTerms list are allowed')];
  return terms.flatMap((term, i) =>
    isOnlyAddedTo(term, before[i] as NodeSelectorTerm)
      ? []
      : [invalid(`${field}[${i}]`, term, 'only additions are allowed (no mutations or deletions)')],
  );
}

/** A term without requirements matches nothing: adding to it would widen it. */
function isOnlyAddedTo(term: NodeSelectorTerm, old: NodeSelectorTerm): boolean {
  const lists = ['matchExpressions', 'matchFields'] as const;
  if (lists.every(list => !old[list]?.length)) return lists.every(list => !term[list]?.length);
  return lists.every(list => isMeaningEqual((term[list] ?? []).slice(0, old[list]?.length ?? 0), old[list] ?? []));
}

/** The old spec with every change that is allowed, or judged elsewhere. */
function withAllowedChanges(spec: PodSpec, old: PodSpec): PodSpec {
  const images = (now: Container[] | undefined, before: Container[] | undefined) =>
    before?.map((container, i) => ({ ...container, image: now?.[i]?.image }));
  const allowed: PodSpec = {
    ...old,
    containers: images(spec.containers, old.containers) ?? [],
    initContainers: images(spec.initContainers, old.initContainers),
    activeDeadlineSeconds: spec.activeDeadlineSeconds,
    tolerations: spec.tolerations,
    schedulingGates: spec.schedulingGates,
  };
  if ((old.terminationGracePeriodSeconds ?? 0) < 0 && spec.terminationGracePeriodSeconds === 1) allowed.terminationGracePeriodSeconds = 1;
  if (!old.schedulingGates?.length) return allowed;
  allowed.nodeSelector = spec.nodeSelector;
  allowed.affinity = { ...old.affinity, nodeAffinity: spec.affinity?.nodeAffinity };
  return allowed;
}

function changedFields(spec: PodSpec, allowed: PodSpec): string[] {
  const keys = new Set([...Object.keys(spec), ...Object.keys(allowed)]) as Set<keyof PodSpec>;
  return [...keys].filter(key => !isMeaningEqual(spec[key], allowed[key])).map(key => `spec.${key} differs`);
}

/** What the subresources `ephemeralcontainers` and `resize` may change. */
export function validatePodSubresourceUpdate(subresource: string, pod: Pod, old: Pod): FieldCause[] {
  if (subresource === 'ephemeralcontainers') return validateEphemeralContainers(pod.spec, old);
  return subresource === 'resize' ? validatePodResize(pod, old) : [];
}

/** They come and stay. */
function validateEphemeralContainers(spec: PodSpec, { metadata, spec: old }: Pod): FieldCause[] {
  if (metadata.annotations && Object.hasOwn(metadata.annotations, MIRROR))
    return [forbidden('', 'static pods do not support ephemeral containers')];
  return (old.ephemeralContainers ?? []).flatMap(before => {
    const now = spec.ephemeralContainers?.find(({ name }) => name === before.name);
    if (!now) return [forbidden('spec.ephemeralContainers', `existing ephemeral containers "${before.name}" may not be removed\n`)];
    if (isMeaningEqual(now, before)) return [];
    return [forbidden('spec.ephemeralContainers', `existing ephemeral containers "${before.name}" may not be changed\n`)];
  });
}
