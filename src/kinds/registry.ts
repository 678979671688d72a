import {
  MutatingAdmissionPolicy,
  MutatingAdmissionPolicyBinding,
  MutatingWebhookConfiguration,
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
  ValidatingWebhookConfiguration,
} from './admissionregistration.ts';
import { CustomResourceDefinition } from './apiextensions.ts';
import { APIService } from './apiregistration.ts';
import { SelfSubjectReview, TokenReview } from './authentication.ts';
import { LocalSubjectAccessReview, SelfSubjectAccessReview, SelfSubjectRulesReview, SubjectAccessReview } from './authorization.ts';
import { AutoscalingV1HorizontalPodAutoscaler, HorizontalPodAutoscaler } from './autoscaling.ts';
import { CertificateSigningRequest } from './certificates.ts';
import { ConfigMap } from './config-map.ts';
import { ControllerRevision } from './controller-revision.ts';
import { Binding, ComponentStatus, Endpoints, PodTemplate } from './core.ts';
import { CronJob } from './cron-job.ts';
import { DaemonSet } from './daemon-set.ts';
import { Deployment } from './deployment.ts';
import { EndpointSlice } from './endpoint-slice.ts';
import { Event, EventsV1Event } from './event.ts';
import { FlowSchema, PriorityLevelConfiguration } from './flowcontrol.ts';
import { Job } from './job.ts';
import { apiVersionOf, type Kind } from './kind.ts';
import { Lease } from './lease.ts';
import { LimitRange } from './limit-range.ts';
import { Namespace } from './namespace.ts';
import { Ingress, IngressClass, IPAddress, NetworkPolicy, ServiceCIDR } from './networking.ts';
import { Node } from './node.ts';
import { PersistentVolume } from './persistent-volume.ts';
import { PersistentVolumeClaim } from './persistent-volume-claim.ts';
import { Pod } from './pod.ts';
import { PodDisruptionBudget } from './policy.ts';
import { ClusterRole, ClusterRoleBinding, Role, RoleBinding } from './rbac.ts';
import { ReplicaSet } from './replica-set.ts';
import { ReplicationController } from './replication-controller.ts';
import { DeviceClass, ResourceClaimTemplate, ResourceSlice, ResourceV1ResourceClaim } from './resource.ts';
import { ResourceQuota } from './resource-quota.ts';
import { RuntimeClass } from './runtime-class.ts';
import { PriorityClass } from './scheduling.ts';
import { Secret } from './secret.ts';
import { Service } from './service.ts';
import { ServiceAccount } from './service-account.ts';
import { StatefulSet } from './stateful-set.ts';
import { CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment, VolumeAttributesClass } from './storage.ts';

/** Every kind that the server serves, in discovery's order: the one list from which routes, discovery and caches are made. */
export const builtinKinds: readonly Kind[] = [
  Binding,
  ComponentStatus,
  ConfigMap,
  Endpoints,
  Event,
  LimitRange,
  Namespace,
  Node,
  PersistentVolumeClaim,
  PersistentVolume,
  Pod,
  PodTemplate,
  ReplicationController,
  ResourceQuota,
  Secret,
  ServiceAccount,
  Service,
  APIService,
  ControllerRevision,
  DaemonSet,
  Deployment,
  ReplicaSet,
  StatefulSet,
  EventsV1Event,
  SelfSubjectReview,
  TokenReview,
  LocalSubjectAccessReview,
  SelfSubjectAccessReview,
  SelfSubjectRulesReview,
  SubjectAccessReview,
  HorizontalPodAutoscaler,
  AutoscalingV1HorizontalPodAutoscaler,
  CronJob,
  Job,
  CertificateSigningRequest,
  IngressClass,
  Ingress,
  IPAddress,
  NetworkPolicy,
  ServiceCIDR,
  PodDisruptionBudget,
  ClusterRoleBinding,
  ClusterRole,
  RoleBinding,
  Role,
  CSIDriver,
  CSINode,
  CSIStorageCapacity,
  StorageClass,
  VolumeAttachment,
  VolumeAttributesClass,
  MutatingAdmissionPolicy,
  MutatingAdmissionPolicyBinding,
  MutatingWebhookConfiguration,
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
  ValidatingWebhookConfiguration,
  CustomResourceDefinition,
  PriorityClass,
  Lease,
  RuntimeClass,
  EndpointSlice,
  DeviceClass,
  ResourceV1ResourceClaim,
  ResourceClaimTemplate,
  ResourceSlice,
  FlowSchema,
  PriorityLevelConfiguration,
];

let byKind: Map<string, Kind> | undefined;

/** The kind that an object's `apiVersion` and `kind` name. */
export function kindOf(apiVersion: string, kind: string): Kind | undefined {
  byKind ??= new Map(builtinKinds.map(one => [`${apiVersionOf(one.resource)}/${one.resource.kind}`, one]));
  return byKind.get(`${apiVersion}/${kind}`);
}
