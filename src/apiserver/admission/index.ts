/**
 * Admission: who looks at a write before it is committed, in this order.
 *
 * Every plugin's `mutate` runs in list order, then the object is prepared and validated, then every `validate` runs in list order; quota
 * comes last of all, as a claim. So: built-in mutation → mutating policies → mutating webhooks → validation → built-in checks → validating
 * policies → validating webhooks → quota. A plugin with nothing to do returns undefined synchronously.
 */
import type { Clock } from '#base/clock.ts';
import type { Authorizer } from '../identity.ts';
import type { Policies } from '../policies/index.ts';
import type { EscalationCheck } from '../rbac-escalation.ts';
import type { Resources } from '../resources.ts';
import { checkedExpressions, type Webhooks } from '../webhooks/index.ts';
import type { AdmissionPlugin } from '../write.ts';
import { certificateAdmission } from './certificates.ts';
import { defaultIngressClass, defaultStorageClass } from './default-classes.ts';
import { escalationAdmission } from './escalation.ts';
import { limitRanger } from './limit-ranger.ts';
import { namespaceLifecycle } from './namespace-lifecycle.ts';
import { nodeRestriction } from './node-restriction.ts';
import { taintNewNodes } from './node-taints.ts';
import { defaultTolerations } from './pod-defaults.ts';
import { podSecurity } from './pod-security/index.ts';
import { podPriority } from './priority.ts';
import { runtimeClassAdmission } from './runtime-class.ts';
import { serviceAccountAdmission } from './service-account.ts';
import { claimResize, storageObjectInUseProtection } from './storage-objects.ts';

export interface AdmissionOptions {
  resources: Resources;
  checkEscalation?: EscalationCheck | undefined;
  webhooks: Webhooks;
  policies: Policies;
  authorize: Authorizer;
  clock: Clock;
}

/** The plugins in their order. */
export function createAdmission({ resources, checkEscalation, webhooks, policies, authorize, clock }: AdmissionOptions): AdmissionPlugin[] {
  const core = (plural: string) => resources.stored('', 'v1', plural);
  const [pods, claims] = [core('pods'), core('persistentvolumeclaims')];
  const storageClasses = resources.stored('storage.k8s.io', 'v1', 'storageclasses');
  const ingresses = resources.stored('networking.k8s.io', 'v1', 'ingresses');
  const registered = (plural: string) => resources.stored('admissionregistration.k8s.io', 'v1', plural);
  /** What looks once more at what webhooks changed: each leaves its own work as it is. */
  const mutating = [
    limitRanger(core('limitranges'), pods, claims),
    serviceAccountAdmission(pods, core('serviceaccounts')),
    nodeRestriction(pods, core('nodes')),
    taintNewNodes(core('nodes')),
    podPriority(pods, resources.stored('scheduling.k8s.io', 'v1', 'priorityclasses')),
    defaultTolerations(pods),
    defaultStorageClass(claims, storageClasses),
    claimResize(claims, storageClasses),
    storageObjectInUseProtection(claims, core('persistentvolumes')),
    runtimeClassAdmission(pods, resources.stored('node.k8s.io', 'v1', 'runtimeclasses')),
    defaultIngressClass(ingresses, resources.stored('networking.k8s.io', 'v1', 'ingressclasses')),
    certificateAdmission({ authorize, clock }),
  ];
  return [
    namespaceLifecycle(core('namespaces')),
    ...mutating,
    policies.mutating(mutating),
    webhooks.mutating([...mutating, policies.reinvoked()]),
    ...(checkEscalation ? [escalationAdmission(checkEscalation)] : []),
    checkedExpressions(registered('mutatingwebhookconfigurations'), registered('validatingwebhookconfigurations')),
    podSecurity(resources),
    policies.checked(),
    policies.validating(),
    webhooks.validating(),
  ];
}
