import {
  defaultBinding,
  defaultPolicy,
  validateBinding,
  validateMutatingPolicy,
  validateValidatingPolicy,
} from './admission-policy-validation.ts';
import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';
import { defaultWebhook, validateWebhooks } from './webhook-validation.ts';

/** How objects are changed on their way in. */
export const MutatingAdmissionPolicy: Kind<types.MutatingAdmissionPolicy> = defineKind<types.MutatingAdmissionPolicy>(
  'admissionregistration.k8s.io/v1/MutatingAdmissionPolicy',
  {
    defaults: ({ spec }) => defaultPolicy(spec),
    validate: ({ spec }) => validateMutatingPolicy(spec),
    cells: {
      Mutations: ({ spec }) => spec.mutations?.length ?? 0,
      ParamKind: ({ spec }) => (spec.paramKind ? `${spec.paramKind.apiVersion}/${spec.paramKind.kind}` : '<unset>'),
    },
  },
);
export type MutatingAdmissionPolicy = types.MutatingAdmissionPolicy;

/** Where a mutating policy holds. */
export const MutatingAdmissionPolicyBinding: Kind<types.MutatingAdmissionPolicyBinding> = defineKind<types.MutatingAdmissionPolicyBinding>(
  'admissionregistration.k8s.io/v1/MutatingAdmissionPolicyBinding',
  {
    defaults: ({ spec }) => defaultBinding(spec),
    validate: ({ spec }) => validateBinding(spec, false),
    cells: { PolicyName: ({ spec }) => spec.policyName, ParamRef: ({ spec }) => paramRefCell(spec.paramRef) },
  },
);
export type MutatingAdmissionPolicyBinding = types.MutatingAdmissionPolicyBinding;

/** Who else changes objects on their way in. */
export const MutatingWebhookConfiguration: Kind<types.MutatingWebhookConfiguration> = defineKind<types.MutatingWebhookConfiguration>(
  'admissionregistration.k8s.io/v1/MutatingWebhookConfiguration',
  {
    defaults({ webhooks = [] }) {
      for (const webhook of webhooks) {
        defaultWebhook(webhook);
        webhook.reinvocationPolicy ??= 'Never';
      }
    },
    validate: ({ webhooks }) => validateWebhooks(webhooks, true),
    cells: { Webhooks: ({ webhooks }) => webhooks?.length ?? 0 },
  },
);
export type MutatingWebhookConfiguration = types.MutatingWebhookConfiguration;

/** Which objects are refused. */
export const ValidatingAdmissionPolicy: Kind<types.ValidatingAdmissionPolicy> = defineKind<types.ValidatingAdmissionPolicy>(
  'admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy',
  {
    defaults: ({ spec }) => defaultPolicy(spec),
    validate: ({ spec }) => validateValidatingPolicy(spec),
    cells: {
      Validations: ({ spec }) => spec.validations?.length ?? 0,
      ParamKind: ({ spec }) => (spec.paramKind ? `${spec.paramKind.apiVersion}/${spec.paramKind.kind}` : '<unset>'),
    },
  },
);
export type ValidatingAdmissionPolicy = types.ValidatingAdmissionPolicy;

/** Where a validating policy holds. */
export const ValidatingAdmissionPolicyBinding: Kind<types.ValidatingAdmissionPolicyBinding> =
  defineKind<types.ValidatingAdmissionPolicyBinding>('admissionregistration.k8s.io/v1/ValidatingAdmissionPolicyBinding', {
    defaults: ({ spec }) => defaultBinding(spec),
    validate: ({ spec }) => validateBinding(spec, true),
    cells: { PolicyName: ({ spec }) => spec.policyName, ParamRef: ({ spec }) => paramRefCell(spec.paramRef) },
  });
export type ValidatingAdmissionPolicyBinding = types.ValidatingAdmissionPolicyBinding;

/** Who else refuses objects. */
export const ValidatingWebhookConfiguration: Kind<types.ValidatingWebhookConfiguration> = defineKind<types.ValidatingWebhookConfiguration>(
  'admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration',
  {
    defaults({ webhooks = [] }) {
      for (const webhook of webhooks) defaultWebhook(webhook);
    },
    validate: ({ webhooks }) => validateWebhooks(webhooks, false),
    cells: { Webhooks: ({ webhooks }) => webhooks?.length ?? 0 },
  },
);
export type ValidatingWebhookConfiguration = types.ValidatingWebhookConfiguration;

function paramRefCell(ref: types.ParamRef | undefined): string {
  if (!ref) return '<unset>';
  if (ref.name) return ref.namespace ? `${ref.namespace}/${ref.name}` : ref.name;
  return ref.namespace ? `${ref.namespace}/<selector>` : '<selector>';
}
