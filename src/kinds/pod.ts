import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import { mergeLabelKeys } from './label-keys.ts';
import { adoptAppArmorAnnotations } from './pod-apparmor.ts';
import { podCells } from './pod-columns.ts';
import { defaultPod } from './pod-defaults.ts';
import { qosClassOf } from './pod-resources.ts';
import { preparePodStatus, validatePodStatusUpdate } from './pod-status-validation.ts';
import { validatePodSubresourceUpdate, validatePodUpdate } from './pod-update.ts';
import { validatePodSpec } from './pod-validation.ts';
import { podWarnings } from './pod-warnings.ts';
import type * as types from './types.gen.ts';
import { forbidden } from './validation.ts';

/** The smallest thing that runs: containers that share a network and live and die on one node. */
export const Pod: Kind<types.Pod> = defineKind<types.Pod>('v1/Pod', {
  defaults: pod => defaultPod(pod.spec),
  prepareForCreate(pod) {
    pod.status = { phase: 'Pending', qosClass: qosClassOf(pod.spec) };
    mergeLabelKeys(pod.spec, pod.metadata.labels);
    adoptAppArmorAnnotations(pod);
    if (!pod.spec.schedulingGates?.length) return;
    const message = 'Scheduling is blocked due to non-empty scheduling gates';
    pod.status.conditions = [{ type: 'PodScheduled', status: 'False', reason: 'SchedulingGated', message }];
  },
  prepareForStatusUpdate: preparePodStatus,
  validate: ({ spec }) => validatePodSpec(spec, 'spec'),
  validateCreate: ({ spec }) =>
    spec.ephemeralContainers?.length ? [forbidden('spec.ephemeralContainers', 'cannot be set on create')] : [],
  validateSubresourceUpdate: validatePodSubresourceUpdate,
  validateUpdate: validatePodUpdate,
  validateStatusUpdate: validatePodStatusUpdate,
  warnings: podWarnings,
  cells: podCells,
  selectableFields: {
    'spec.nodeName': pod => pod.spec.nodeName ?? '',
    'spec.restartPolicy': pod => pod.spec.restartPolicy ?? '',
    'spec.schedulerName': pod => pod.spec.schedulerName ?? '',
    'spec.serviceAccountName': pod => pod.spec.serviceAccountName ?? '',
    'spec.hostNetwork': pod => String(pod.spec.hostNetwork ?? false),
    'status.phase': pod => pod.status?.phase ?? '',
    'status.podIP': pod => pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP ?? '',
    'status.podIPs': pod => pod.status?.podIPs?.map(({ ip }) => ip).join(',') ?? '',
    'status.nominatedNodeName': pod => pod.status?.nominatedNodeName ?? '',
  },
});
export type Pod = types.Pod;
