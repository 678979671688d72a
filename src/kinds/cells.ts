import { formatLabelSelector, type LabelSelectorObject, requirementsOf } from '#base/label-selector.ts';
import type { PodTemplateSpec, ReplicaSetStatus } from './types.gen.ts';

/** Cells that several kinds share. */

/** `web,sidecar` */
export function containerNames(template: PodTemplateSpec | undefined): string {
  return (template?.spec.containers ?? []).map(({ name }) => name).join(',');
}

/** `nginx:1,busybox` */
export function containerImages(template: PodTemplateSpec | undefined): string {
  return (template?.spec.containers ?? []).map(({ image }) => image ?? '').join(',');
}

interface ReplicasOfTemplate {
  spec: { replicas?: number | undefined; template?: PodTemplateSpec | undefined };
  status?: ReplicaSetStatus | undefined;
}

/** The columns of what keeps a number of pods like a template. */
export const replicasCells = {
  Desired: ({ spec }: ReplicasOfTemplate) => spec.replicas ?? 0,
  Current: ({ status }: ReplicasOfTemplate) => status?.replicas ?? 0,
  Ready: ({ status }: ReplicasOfTemplate) => status?.readyReplicas ?? 0,
  Containers: ({ spec }: ReplicasOfTemplate) => containerNames(spec.template),
  Images: ({ spec }: ReplicasOfTemplate) => containerImages(spec.template),
};

/** `app=web`, or `<none>`. */
export function selectorText(selector: LabelSelectorObject | undefined): string {
  return (selector && formatLabelSelector(requirementsOf(selector))) || '<none>';
}

/** `a=b,c=d`, or `<none>`. */
export function labelsText(labels: Record<string, string> | undefined): string {
  const terms = Object.entries(labels ?? {}).map(([key, value]) => `${key}=${value}`);
  return terms.sort().join(',') || '<none>';
}

/** The text, or `<none>` for nothing. */
export function orNone(text: string | undefined | null): string {
  return text || '<none>';
}
