import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const CertificateSigningRequest: Kind<types.CertificateSigningRequest> = defineKind<types.CertificateSigningRequest>(
  'certificates.k8s.io/v1/CertificateSigningRequest',
  { unattended: 'no signer answers certificate signing requests yet' },
);
export type CertificateSigningRequest = types.CertificateSigningRequest;
