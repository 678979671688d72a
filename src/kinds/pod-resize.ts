import type { FieldCause } from '#base/errors.ts';
import { isMeaningEqual } from './json-equal.ts';
import { isSidecar, qosClassOf } from './pod-resources.ts';
import type { Container, Pod, PodSpec, Quantity, ResourceRequirements } from './types.gen.ts';
import { forbidden, invalid } from './validation.ts';

const LISTS = ['containers', 'initContainers'] as const;
const MIRROR = 'kubernetes.io/config.mirror';

/** The old pod with the resources and resize policies that a client wants; containers added, removed or renamed come along, to be refused. */
export function resizedSpec(wanted: PodSpec, old: PodSpec): PodSpec {
  if (LISTS.some(list => (wanted[list] ?? []).length !== (old[list] ?? []).length)) return wanted;
  const merged = (now: Container[], before: Container[]) => {
    if (now.some(({ name }, i) => name !== before[i]?.name)) return now;
    return now.map(({ resources, resizePolicy }, i) => withoutAbsent({ ...(before[i] as Container), resources, resizePolicy }));
  };
  const spec: PodSpec = { ...old, containers: merged(wanted.containers, old.containers), resources: wanted.resources };
  if (old.initContainers) spec.initContainers = merged(wanted.initContainers ?? [], old.initContainers);
  return withoutAbsent(spec);
}

/** What a resize may do: change amounts of cpu and memory, take nothing back, and leave the pod's class as it is. */
export function validatePodResize({ spec }: Pod, { spec: old, metadata, status }: Pod): FieldCause[] {
  if (metadata.annotations && Object.hasOwn(metadata.annotations, MIRROR)) return [forbidden('', 'static pods cannot be resized')];
  if (old.os?.name === 'windows') return [forbidden('', 'windows pods cannot be resized')];
  const causes: FieldCause[] = [];
  if (qosClassOf(spec) !== (status?.qosClass ?? qosClassOf(old)))
    causes.push(invalid('spec', status?.qosClass ?? '', 'Pod QOS Class may not change as a result of resizing'));
  const running = status?.containerStatuses?.find(({ state }) => state?.running);
  if (running && !running.resources) causes.push(forbidden('spec', 'Pod running on node without support for resize'));
  causes.push(...validatePodLevel(spec.resources, old.resources));
  const moved = LISTS.flatMap(list => validateOrder(spec[list] ?? [], old[list] ?? [], list));
  if (moved.length > 0) return [...causes, ...moved];
  for (const list of ['initContainers', 'containers'] as const)
    spec[list]?.forEach(({ resources }, i) => {
      const before = old[list]?.[i]?.resources;
      for (const which of ['requests', 'limits'] as const)
        if (isAnyGone(resources?.[which], before?.[which]))
          causes.push(forbidden(`spec.${list}[${i}].resources.${which}`, `resource ${which} cannot be removed`));
    });
  for (const list of LISTS)
    spec[list]?.forEach((container, i) => {
      causes.push(...validateContainer(container, old[list]?.[i] as Container, list, i));
    });
  return causes;
}

function validatePodLevel(resources: ResourceRequirements | undefined, old: ResourceRequirements | undefined): FieldCause[] {
  const isSet = (one: ResourceRequirements | undefined) =>
    Object.keys(one?.requests ?? {}).length > 0 || Object.keys(one?.limits ?? {}).length > 0;
  if (!isSet(resources) && !isSet(old)) return [];
  if (old && !resources) return [forbidden('spec.resources', 'pod-level resources cannot be removed')];
  const causes: FieldCause[] = [];
  for (const which of ['requests', 'limits'] as const)
    if (isAnyGone(resources?.[which], old?.[which]))
      causes.push(forbidden(`spec.resources.${which}`, `pod-level resource ${which} cannot be removed`));
  if (!isMeaningEqual(withOldAmounts(resources, old), old))
    causes.push(forbidden('spec', 'only cpu and memory resources are mutable at pod-level'));
  return causes;
}

function validateOrder(containers: Container[], old: Container[], list: string): FieldCause[] {
  if (containers.length !== old.length) return [forbidden(`spec.${list}`, `${list} may not be added or removed on resize`)];
  return containers.flatMap(({ name }, i) =>
    name === old[i]?.name ? [] : [forbidden(`spec.${list}[${i}].name`, `${list} may not be renamed or reordered on resize`)],
  );
}

function validateContainer(container: Container, old: Container, list: (typeof LISTS)[number], index: number): FieldCause[] {
  const munged = { ...container, resources: withOldAmounts(container.resources, old.resources) };
  const same = isMeaningEqual(munged, { ...old, resources: withoutClaims(old.resources) });
  if (list === 'containers') return same ? [] : [forbidden('spec', 'only cpu and memory resources are mutable')];
  const at = `spec.initContainers[${index}]`;
  const causes = same ? [] : [forbidden(at, 'only cpu and memory resources for init or sidecar containers are mutable')];
  const restarts = container.resizePolicy?.some(({ restartPolicy }) => restartPolicy === 'RestartContainer');
  if (restarts && !isSidecar(container) && !isMeaningEqual(container, old))
    causes.push(forbidden(at, 'non-sidecar init containers with a resize policy of RestartContainer cannot be resized'));
  return causes;
}

/** The amounts as they are, but those of cpu and memory as they were. */
function withOldAmounts(resources: ResourceRequirements | undefined, old: ResourceRequirements | undefined): ResourceRequirements {
  const amounts = (now: Record<string, Quantity> = {}, before: Record<string, Quantity> = {}) => {
    const { cpu: _cpu, memory: _memory, ...rest } = now;
    const { cpu, memory } = before;
    return { ...rest, ...(cpu !== undefined && { cpu }), ...(memory !== undefined && { memory }) };
  };
  return { requests: amounts(resources?.requests, old?.requests), limits: amounts(resources?.limits, old?.limits) };
}

function withoutClaims(resources: ResourceRequirements = {}): ResourceRequirements {
  const { claims: _, ...rest } = resources;
  return rest;
}

function isAnyGone(amounts: Record<string, Quantity> = {}, old: Record<string, Quantity> = {}): boolean {
  return Object.keys(old).some(name => !Object.hasOwn(amounts, name));
}

function withoutAbsent<T extends object>(object: T): T {
  for (const key of Object.keys(object) as (keyof T)[]) if (object[key] === undefined) delete object[key];
  return object;
}
