import type { FieldCause } from '#base/errors.ts';
import { orNone } from './cells.ts';
import { defineKind } from './define-kind.ts';
import { humanDuration } from './duration.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';
import { duplicate, forbidden, invalid, jsonEqual, notSupported, required } from './validation.ts';

type Conditions = NonNullable<NonNullable<types.CertificateSigningRequest['status']>['conditions']>;

/** What a certificate may be asked for, in Kubernetes' words. */
export const CERTIFICATE_USAGES = [
  'any',
  'cert sign',
  'client auth',
  'code signing',
  'content commitment',
  'crl sign',
  'data encipherment',
  'decipher only',
  'digital signature',
  'email protection',
  'encipher only',
  'ipsec end system',
  'ipsec tunnel',
  'ipsec user',
  'key agreement',
  'key encipherment',
  'microsoft sgc',
  'netscape sgc',
  'ocsp signing',
  's/mime',
  'server auth',
  'signing',
  'timestamping',
];
/** Conditions that once true stay so, and are never said not to be. */
const FINAL = ['Approved', 'Denied', 'Failed'];

/** A request for a certificate. */
export const CertificateSigningRequest: Kind<types.CertificateSigningRequest> = defineKind<types.CertificateSigningRequest>(
  'certificates.k8s.io/v1/CertificateSigningRequest',
  {
    validate: ({ spec, status }) => [...validateSpec(spec), ...validateConditions(status?.conditions ?? [])],
    // As upstream: what is asked for stays what it was, whatever an update says.
    prepareForUpdate(object, old) {
      object.spec = old.spec;
    },
    validateSubresourceUpdate: (_subresource, { status }, old) =>
      validateKept(status?.conditions ?? [], old.status?.conditions ?? [], { mayApprove: true }),
    validateStatusUpdate: ({ status }, old) => [
      ...validateConditions(status?.conditions ?? []),
      ...validateKept(status?.conditions ?? [], old.status?.conditions ?? [], { mayApprove: false }),
      ...validateCertificate(status?.certificate, old.status?.certificate),
    ],
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

function validateSpec({ request, usages = [], signerName, expirationSeconds }: types.CertificateSigningRequest['spec']): FieldCause[] {
  const causes: FieldCause[] = [];
  if (!request) causes.push(required('spec.request'));
  else if (!isPem(request, 'CERTIFICATE REQUEST'))
    causes.push(invalid('spec.request', request, 'PEM block type must be CERTIFICATE REQUEST'));
  if (!usages.length) causes.push(required('spec.usages'));
  usages.forEach((usage, i) => {
    if (!CERTIFICATE_USAGES.includes(usage)) causes.push(notSupported(`spec.usages[${i}]`, usage, CERTIFICATE_USAGES));
    if (usages.indexOf(usage) < i) causes.push(duplicate(`spec.usages[${i}]`, usage));
  });
  if (!signerName) causes.push(required('spec.signerName'));
  else if (signerName === 'kubernetes.io/legacy-unknown')
    causes.push(invalid('spec.signerName', signerName, 'the legacy signerName is not allowed via this API version'));
  else if (
    !/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+\/[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(signerName) ||
    signerName.length > 571
  )
    causes.push(invalid('spec.signerName', signerName, 'must be a fully qualified domain and path of the form "example.com/signer-name"'));
  if (expirationSeconds !== undefined && expirationSeconds < 600)
    causes.push(invalid('spec.expirationSeconds', expirationSeconds, 'may not specify a duration less than 600 seconds (10 minutes)'));
  return causes;
}

function validateConditions(conditions: Conditions): FieldCause[] {
  return conditions.flatMap(({ type, status }, i) => {
    const at = `status.conditions[${i}]`;
    const causes: FieldCause[] = [];
    if (!type) causes.push(required(`${at}.type`));
    if (!status) causes.push(required(`${at}.status`));
    else if (FINAL.includes(type) && status !== 'True') causes.push(notSupported(`${at}.status`, status, ['True']));
    else if (!['True', 'False', 'Unknown'].includes(status))
      causes.push(notSupported(`${at}.status`, status, ['True', 'False', 'Unknown']));
    if (conditions.findIndex(other => other.type === type) < i) causes.push(duplicate(`${at}.type`, type));
    const opposite = type === 'Approved' ? 'Denied' : type === 'Denied' ? 'Approved' : undefined;
    if (conditions.findIndex(other => other.type === opposite) > i)
      causes.push(invalid(`${at}.type`, type, 'Approved and Denied conditions are mutually exclusive'));
    return causes;
  });
}

/** Approval and denial are given at `approval` only; what was decided is not taken back. */
function validateKept(now: Conditions, before: Conditions, { mayApprove }: { mayApprove: boolean }): FieldCause[] {
  const of = (conditions: Conditions, type: string) => conditions.filter(condition => condition.type === type);
  return FINAL.flatMap(type => {
    const [is, was] = [of(now, type), of(before, type)];
    if (was.length && !is.length) return [forbidden('status.conditions', `updates may not remove a condition of type "${type}"`)];
    if (mayApprove || type === 'Failed' || jsonEqual(is, was)) return [];
    return [forbidden('status.conditions', `updates may not ${was.length ? 'modify' : 'add'} a condition of type "${type}"`)];
  });
}

function validateCertificate(now: string | undefined, before: string | undefined): FieldCause[] {
  if ((now ?? '') === (before ?? '')) return [];
  if (before) return [forbidden('status.certificate', 'updates may not modify existing certificate content')];
  return now && !isPem(now, 'CERTIFICATE')
    ? [invalid('status.certificate', '<certificate data>', 'only CERTIFICATE PEM blocks are allowed')]
    : [];
}

function isPem(base64: string, type: string): boolean {
  const text = Buffer.from(base64, 'base64').toString('latin1');
  return text.includes(`-----BEGIN ${type}-----`) && text.includes(`-----END ${type}-----`);
}
