import { containerImages, containerNames, labelsText } from './cells.ts';
import { defineKind } from './define-kind.ts';
import { validateEndpointSubset } from './endpoints-validation.ts';
import type { Kind } from './kind.ts';
import { defaultPodSpec } from './pod-defaults.ts';
import { validatePodTemplate } from './pod-validation.ts';
import type * as types from './types.gen.ts';
import { required } from './validation.ts';

/** Gives a pod its node. */
export const Binding: Kind<types.Binding> = defineKind<types.Binding>('v1/Binding', { virtual: true });
export type Binding = types.Binding;

/** The health of a control-plane component, as older tools ask for it. */
export const ComponentStatus: Kind<types.ComponentStatus> = defineKind<types.ComponentStatus>('v1/ComponentStatus', {
  virtual: true,
  deprecation: 'v1 ComponentStatus is deprecated in v1.19+',
  cells: {
    Status: ({ conditions }) => ({ True: 'Healthy', False: 'Unhealthy' })[healthOf(conditions)?.status ?? ''] ?? 'Unknown',
    Message: ({ conditions }) => healthOf(conditions)?.message ?? '',
    Error: ({ conditions }) => healthOf(conditions)?.error ?? '',
  },
});
export type ComponentStatus = types.ComponentStatus;

/** The addresses behind a Service, all in one object: older than EndpointSlice. */
export const Endpoints: Kind<types.Endpoints> = defineKind<types.Endpoints>('v1/Endpoints', {
  defaults({ subsets = [] }) {
    for (const { ports = [] } of subsets) for (const port of ports) port.protocol ||= 'TCP';
  },
  validate: ({ subsets = [] }) => subsets.flatMap((subset, i) => validateEndpointSubset(subset, `subsets[${i}]`)),
  deprecation: 'v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice',
  cells: { Endpoints: endpointsText },
});
export type Endpoints = types.Endpoints;

/** A pod template of its own. */
export const PodTemplate: Kind<types.PodTemplate> = defineKind<types.PodTemplate>('v1/PodTemplate', {
  defaults({ template }) {
    if (template) defaultPodSpec(template.spec);
  },
  validate: ({ template }) => (template ? validatePodTemplate(template, 'template') : [required('template')]),
  cells: {
    Containers: ({ template }) => containerNames(template),
    Images: ({ template }) => containerImages(template),
    'Pod Labels': ({ template }) => labelsText(template?.metadata?.labels),
  },
});
export type PodTemplate = types.PodTemplate;

function healthOf(conditions: types.ComponentCondition[] | undefined): types.ComponentCondition | undefined {
  return conditions?.find(({ type }) => type === 'Healthy');
}

function endpointsText({ subsets = [] }: types.Endpoints): string {
  const all = subsets.flatMap(({ addresses = [], ports = [] }) =>
    ports.length === 0 ? addresses.map(({ ip }) => ip) : ports.flatMap(({ port }) => addresses.map(({ ip }) => `${ip}:${port}`)),
  );
  if (all.length === 0) return '<none>';
  return all.length <= 3 ? all.join(',') : `${all.slice(0, 3).join(',')} + ${all.length - 3} more...`;
}
