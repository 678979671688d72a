import { orNone } from './cells.ts';
import { defineKind } from './define-kind.ts';
import { humanDuration } from './duration.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';
import { invalid, required, validateImmutable } from './validation.ts';

/** A request for a certificate. */
export const CertificateSigningRequest: Kind<types.CertificateSigningRequest> = defineKind<types.CertificateSigningRequest>(
  'certificates.k8s.io/v1/CertificateSigningRequest',
  {
    unattended: 'no signer answers certificate signing requests yet',
    validate({ spec }) {
      const causes = [];
      if (!spec.request) causes.push(required('spec.request'));
      if (!spec.usages?.length) causes.push(required('spec.usages'));
      if (!spec.signerName) causes.push(required('spec.signerName'));
      else if (!/^[^/]+\/[^/]+$/.test(spec.signerName))
        causes.push(
          invalid('spec.signerName', spec.signerName, 'must be a fully qualified domain and path of the form "example.com/signer-name"'),
        );
      if (spec.expirationSeconds !== undefined && spec.expirationSeconds < 600)
        causes.push(
          invalid('spec.expirationSeconds', spec.expirationSeconds, 'may not specify a duration less than 600 seconds (10 minutes)'),
        );
      return causes;
    },
    validateUpdate: ({ spec }, old) => validateImmutable(spec, old.spec, 'spec'),
    cells: {
      SignerName: ({ spec }) => orNone(spec.signerName),
      Requestor: ({ spec }) => spec.username ?? '',
      RequestedDuration: ({ spec }) => (spec.expirationSeconds === undefined ? '<none>' : humanDuration(spec.expirationSeconds * 1000)),
      Condition: ({ status }) => {
        const words = (status?.conditions ?? []).map(({ type }) => type);
        if (words.length === 0) words.push('Pending');
        if (status?.certificate) words.push('Issued');
        return words.join(',');
      },
    },
    selectableFields: { 'spec.signerName': ({ spec }) => spec.signerName },
  },
);
export type CertificateSigningRequest = types.CertificateSigningRequest;
