import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const MutatingAdmissionPolicy: Kind<types.MutatingAdmissionPolicy> = defineKind(
  'admissionregistration.k8s.io/v1/MutatingAdmissionPolicy',
);
export type MutatingAdmissionPolicy = types.MutatingAdmissionPolicy;

export const MutatingAdmissionPolicyBinding: Kind<types.MutatingAdmissionPolicyBinding> = defineKind(
  'admissionregistration.k8s.io/v1/MutatingAdmissionPolicyBinding',
);
export type MutatingAdmissionPolicyBinding = types.MutatingAdmissionPolicyBinding;

export const MutatingWebhookConfiguration: Kind<types.MutatingWebhookConfiguration> = defineKind(
  'admissionregistration.k8s.io/v1/MutatingWebhookConfiguration',
);
export type MutatingWebhookConfiguration = types.MutatingWebhookConfiguration;

export const ValidatingAdmissionPolicy: Kind<types.ValidatingAdmissionPolicy> = defineKind(
  'admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy',
);
export type ValidatingAdmissionPolicy = types.ValidatingAdmissionPolicy;

export const ValidatingAdmissionPolicyBinding: Kind<types.ValidatingAdmissionPolicyBinding> = defineKind(
  'admissionregistration.k8s.io/v1/ValidatingAdmissionPolicyBinding',
);
export type ValidatingAdmissionPolicyBinding = types.ValidatingAdmissionPolicyBinding;

export const ValidatingWebhookConfiguration: Kind<types.ValidatingWebhookConfiguration> = defineKind(
  'admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration',
);
export type ValidatingWebhookConfiguration = types.ValidatingWebhookConfiguration;
