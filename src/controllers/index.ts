/**
 * The controllers that an ordinary application needs; each sees only `client`, one file a controller.
 *
 * A reconcile is level-based: it looks at the present picture and acts thinly on what a pure `plan…` function decided; it may be
 * stopped at any line and started again. `coreControllers` lists those that run on the kit, `GarbageCollector` is its own because it
 * watches everything.
 */
import type { Controller } from '#client/index.ts';
import { builtinKinds } from '#kinds/registry.ts';
import { type CertificateSigner, certificateController } from './certificates.ts';
import { clusterRoleAggregationController } from './cluster-role-aggregation.ts';
import { cronJobController } from './cron-job.ts';
import type { CustomKinds } from './custom-kinds.ts';
import { daemonSetController } from './daemon-set.ts';
import { deploymentController } from './deployment.ts';
import { disruptionController } from './disruption.ts';
import { endpointSliceController } from './endpoint-slice.ts';
import { endpointSliceMirroringController } from './endpoint-slice-mirroring.ts';
import { endpointsController } from './endpoints.ts';
import { flowSchemaController } from './flow-schema.ts';
import { horizontalPodAutoscalerController } from './horizontal-pod-autoscaler.ts';
import { jobController } from './job.ts';
import { type LoadBalancerOptions, loadBalancerController } from './load-balancer.ts';
import { namespaceController } from './namespace.ts';
import { type NodeLifecycleOptions, nodeLifecycleController } from './node-lifecycle.ts';
import { podGcController } from './pod-gc.ts';
import { replicaSetController } from './replica-set.ts';
import { replicationControllerController } from './replication-controller.ts';
import { rootCaController } from './root-ca.ts';
import { serviceAccountController } from './service-account.ts';
import { type SignSecretToken, serviceAccountTokenController } from './service-account-token.ts';
import { serviceCidrController } from './service-cidr.ts';
import { ipAddressController } from './service-cidr-addresses.ts';
import { staleDisruptionController } from './stale-disruption.ts';
import { statefulSetController } from './stateful-set.ts';
import { tokenCleanerController } from './token-cleaner.ts';
import { ttlAfterFinishedController } from './ttl-after-finished.ts';
import { volumeControllers } from './volume-controllers.ts';

export { CustomKinds } from './custom-kinds.ts';
export { GarbageCollector, type GarbageCollectorOptions, ownableKinds } from './garbage-collector.ts';
export { ensureLocalPathClass } from './local-path.ts';

export interface CoreControllersOptions extends NodeLifecycleOptions {
  /** The cluster's authority, PEM. */
  caPem: string;
  /** Signs the tokens of Secrets that ask for one; absent: they stay empty. */
  signSecretToken?: SignSecretToken;
  /** Kinds that come and go; absent: none do. */
  customKinds?: CustomKinds;
  /** Where Services of type LoadBalancer are served. */
  loadBalancer?: LoadBalancerOptions;
  /** Signs certificate requests; absent: they stay as they are. */
  certificateSigner?: CertificateSigner;
}

/** The controllers in the order in which they start. */
export function coreControllers({
  caPem,
  signSecretToken,
  certificateSigner,
  customKinds,
  loadBalancer,
  ...nodeLifecycle
}: CoreControllersOptions): Controller[] {
  return [
    serviceAccountController,
    rootCaController(caPem),
    clusterRoleAggregationController,
    ...(signSecretToken ? [serviceAccountTokenController({ caPem, sign: signSecretToken })] : []),
    tokenCleanerController,
    flowSchemaController,
    ...(certificateSigner ? [certificateController(certificateSigner)] : []),
    namespaceController(builtinKinds, customKinds),
    deploymentController,
    replicaSetController,
    replicationControllerController,
    statefulSetController,
    daemonSetController,
    jobController,
    cronJobController,
    ttlAfterFinishedController,
    ...volumeControllers,
    endpointSliceController,
    endpointsController,
    endpointSliceMirroringController,
    disruptionController(customKinds),
    staleDisruptionController,
    nodeLifecycleController(nodeLifecycle),
    podGcController(),
    loadBalancerController(loadBalancer),
    serviceCidrController(),
    ipAddressController(),
    horizontalPodAutoscalerController(customKinds),
  ];
}
