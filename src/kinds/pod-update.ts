import type { FieldCause } from '#base/errors.ts';
import { qosClassOf } from './pod-resources.ts';
import type { Container, Pod, PodSpec, Toleration } from './types.gen.ts';
import { forbidden, invalid, jsonEqual, required } from './validation.ts';

const ALLOWED =
  'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)';

/** A pod's spec stays as it was born, but for a few fields. */
export function validatePodUpdate({ spec }: Pod, { spec: old }: Pod): FieldCause[] {
  if (jsonEqual(spec, old)) return [];
  const causes: FieldCause[] = [];
  for (const list of ['containers', 'initContainers'] as const) {
    if (spec[list]?.length !== old[list]?.length) return [forbidden(`spec.${list}`, 'pod updates may not add or remove containers')];
    spec[list]?.forEach(({ image }, i) => {
      if (!image) causes.push(required(`spec.${list}[${i}].image`));
    });
  }
  causes.push(...validateDeadline(spec, old), ...validateGates(spec, old));
  causes.push(...validateAddedTolerations(spec.tolerations ?? [], old.tolerations ?? []));
  const changed = changedFields(spec, withAllowedChanges(spec, old));
  if (changed.length > 0) causes.push(forbidden('spec', `${ALLOWED}\n${changed.join('\n')}`));
  return causes;
}

function validateDeadline(spec: PodSpec, old: PodSpec): FieldCause[] {
  const [now, before] = [spec.activeDeadlineSeconds, old.activeDeadlineSeconds];
  const field = 'spec.activeDeadlineSeconds';
  if (before === undefined) return [];
  if (now === undefined) return [invalid(field, null, 'must not update from a positive integer to nil value')];
  return now > before ? [invalid(field, now, 'must be less than or equal to previous value')] : [];
}

function validateGates(spec: PodSpec, old: PodSpec): FieldCause[] {
  const before = new Set((old.schedulingGates ?? []).map(({ name }) => name));
  const added = (spec.schedulingGates ?? []).find(({ name }) => !before.has(name));
  return added ? [forbidden('spec.schedulingGates', `only deletion is allowed, but found new scheduling gate '${added.name}'`)] : [];
}

function validateAddedTolerations(tolerations: Toleration[], old: Toleration[]): FieldCause[] {
  const identity = ({ tolerationSeconds: _, ...rest }: Toleration) => rest;
  const kept = old.every(before => tolerations.some(one => jsonEqual(identity(one), identity(before))));
  return kept ? [] : [forbidden('spec.tolerations', 'existing toleration can not be modified except its tolerationSeconds')];
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
  // Until it may be scheduled, a pod's choice of nodes may be narrowed.
  const narrowed = Object.entries(old.nodeSelector ?? {}).every(([key, value]) => spec.nodeSelector?.[key] === value);
  if (narrowed) allowed.nodeSelector = spec.nodeSelector;
  if (!old.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution) allowed.affinity = spec.affinity;
  return allowed;
}

function changedFields(spec: PodSpec, allowed: PodSpec): string[] {
  const keys = new Set([...Object.keys(spec), ...Object.keys(allowed)]) as Set<keyof PodSpec>;
  return [...keys].filter(key => !jsonEqual(spec[key], allowed[key])).map(key => `spec.${key} differs`);
}

/** What a pod's status may say. */
export function validatePodStatusUpdate({ status = {} }: Pod): FieldCause[] {
  const causes: FieldCause[] = [];
  for (const list of ['containerStatuses', 'initContainerStatuses'] as const) {
    status[list]?.forEach(({ state = {} }, i) => {
      if (Object.keys(state).length > 1)
        causes.push(forbidden(`status.${list}[${i}].state`, 'may not specify more than 1 container state'));
    });
  }
  return causes;
}

/** What the subresources `ephemeralcontainers` and `resize` may change. */
export function validatePodSubresourceUpdate(subresource: string, pod: Pod, old: Pod): FieldCause[] {
  if (subresource === 'ephemeralcontainers') return validateEphemeralContainers(pod.spec, old.spec);
  if (subresource !== 'resize' || qosClassOf(pod.spec) === qosClassOf(old.spec)) return [];
  return [invalid('status.qosClass', qosClassOf(pod.spec), 'Pod QOS Class may not change as a result of resizing')];
}

/** They come and stay. */
function validateEphemeralContainers(spec: PodSpec, old: PodSpec): FieldCause[] {
  return (old.ephemeralContainers ?? []).flatMap(before => {
    const index = (spec.ephemeralContainers ?? []).findIndex(({ name }) => name === before.name);
    if (index < 0) return [forbidden('spec.ephemeralContainers', `existing ephemeral containers "${before.name}" may not be removed`)];
    if (jsonEqual(spec.ephemeralContainers?.[index], before)) return [];
    return [forbidden(`spec.ephemeralContainers[${index}]`, `existing ephemeral container "${before.name}" may not be changed`)];
  });
}
