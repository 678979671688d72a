import type { Container, Sandbox } from '#engine/engine.ts';
import { toContainerState, toSandboxState } from './forms.ts';
import type { ContainerFilter, PodSandboxFilter } from './types.gen.ts';

/** Whether a sandbox is what a filter asks for; ids by their beginning, labels all of them. */
export function matchesSandbox({ id, config, state }: Sandbox, filter: PodSandboxFilter = {}): boolean {
  return (
    id.startsWith(filter.id ?? '') &&
    (filter.state === undefined || toSandboxState(state) === (filter.state.state ?? 'SANDBOX_READY')) &&
    hasLabels(config.labels, filter.labelSelector)
  );
}

/** The same of containers. */
export function matchesContainer({ id, config, state }: Container, filter: ContainerFilter = {}): boolean {
  return (
    id.startsWith(filter.id ?? '') &&
    config.sandboxId.startsWith(filter.podSandboxId ?? '') &&
    (filter.state === undefined || toContainerState(state) === (filter.state.state ?? 'CONTAINER_CREATED')) &&
    hasLabels(config.labels, filter.labelSelector)
  );
}

/** Whether all wanted labels are there with their values. */
export function hasLabels(labels: Record<string, string> = {}, wanted: Record<string, string> = {}): boolean {
  return Object.entries(wanted).every(([key, value]) => Object.hasOwn(labels, key) && labels[key] === value);
}
