import { X509Certificate } from 'node:crypto';
import type { CertificateSigningRequest } from '#kinds/certificates.ts';

/** Whom a request names. */
export interface RequestedNames {
  commonName: string;
  organizations: string[];
  dnsNames: string[];
  ipAddresses: string[];
  otherNames: string[];
}

const NODE = 'system:node:';
const HOUR_MS = 3_600_000;
const YEAR_MS = 365 * 24 * HOUR_MS;
/** How long what has been decided, or left undecided, stays to be read. */
const KEPT_MS = { Approved: HOUR_MS, Denied: HOUR_MS, Failed: HOUR_MS, Pending: 24 * HOUR_MS };

const CLIENT_USAGES = ['client auth', 'digital signature', 'key encipherment'];
const SERVER_USAGES = ['server auth', 'digital signature', 'key encipherment'];

/** Why a signer does not issue what is asked; undefined when it does. */
type Rule = (names: RequestedNames, usages: readonly string[]) => string | undefined;

const SIGNERS: Record<string, Rule> = {
  'kubernetes.io/kube-apiserver-client': (_names, usages) => usagesWrong(usages, CLIENT_USAGES, ['client auth']),
  'kubernetes.io/kube-apiserver-client-kubelet': (names, usages) =>
    nodeWrong(names) ??
    (hasNames(names)
      ? 'no subject alternative names are allowed'
      : usagesWrong(usages, CLIENT_USAGES, ['client auth', 'digital signature'])),
  'kubernetes.io/kubelet-serving': (names, usages) =>
    nodeWrong(names) ??
    (names.otherNames.length
      ? 'email and URI subject alternative names are not allowed'
      : hasNames(names)
        ? usagesWrong(usages, SERVER_USAGES, ['server auth', 'digital signature'])
        : 'at least one DNS name or IP address is needed'),
  'kubernetes.io/legacy-unknown': () => undefined,
};

/** Under which permissions an undecided request is approved unasked: nodes' client certificates are, as upstream has it. */
export function planApproval(
  { spec, status }: CertificateSigningRequest,
  names: RequestedNames,
): { subresource: string; message: string }[] | undefined {
  const signerName = 'kubernetes.io/kube-apiserver-client-kubelet';
  if (spec.signerName !== signerName || status?.conditions?.some(({ type }) => type === 'Approved' || type === 'Denied')) return undefined;
  if (SIGNERS[signerName]!(names, spec.usages ?? [])) return undefined;
  const node = { subresource: 'nodeclient', message: 'Auto approving kubelet client certificate after SubjectAccessReview.' };
  const self = { subresource: 'selfnodeclient', message: 'Auto approving self kubelet client certificate after SubjectAccessReview.' };
  return spec.username === names.commonName ? [self, node] : [node];
}

/** What an approved request of our signers gets: a life, or a refusal. Undefined for all others. */
export function planSigning(
  { spec, status }: CertificateSigningRequest,
  names: RequestedNames,
): { lifeMs: number } | { failure: string } | undefined {
  const rule = SIGNERS[spec.signerName];
  const is = (wanted: string) => status?.conditions?.some(({ type }) => type === wanted);
  if (!rule || status?.certificate || !is('Approved') || is('Denied') || is('Failed')) return undefined;
  const failure = rule(names, spec.usages ?? []);
  if (failure) return { failure: `${spec.signerName} does not sign this: ${failure}` };
  return { lifeMs: Math.min(spec.expirationSeconds === undefined ? YEAR_MS : spec.expirationSeconds * 1000, YEAR_MS) };
}

/** Whether the request has been there long enough, or its certificate has ended; and when to look again. */
export function planCleaning(
  { metadata, status }: CertificateSigningRequest,
  now: number,
): { isOver: true } | { isOver: false; againInMs: number } {
  const conditions = status?.conditions ?? [];
  const isPending = !status?.certificate && !conditions.some(({ type }) => type in KEPT_MS);
  const ends = isPending ? [Date.parse(metadata.creationTimestamp ?? '') + KEPT_MS.Pending] : [];
  for (const { type, lastUpdateTime, lastTransitionTime } of conditions) {
    // An approved request without its certificate waits for a signer of somebody else's.
    if (type === 'Approved' && !status?.certificate) ends.push(Date.parse(metadata.creationTimestamp ?? '') + KEPT_MS.Pending);
    else if (type === 'Approved' || type === 'Denied' || type === 'Failed')
      ends.push(Date.parse(lastUpdateTime ?? lastTransitionTime ?? metadata.creationTimestamp ?? '') + KEPT_MS[type]);
  }
  if (status?.certificate) ends.push(endOf(status.certificate));
  const end = Math.min(...ends.filter(Number.isFinite), now + YEAR_MS);
  return end <= now ? { isOver: true } : { isOver: false, againInMs: Math.min(end - now, 24 * HOUR_MS) };
}

function endOf(base64: string): number {
  try {
    return new X509Certificate(Buffer.from(base64, 'base64')).validToDate.getTime();
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

function nodeWrong({ commonName, organizations }: RequestedNames): string | undefined {
  if (!commonName.startsWith(NODE) || commonName.length === NODE.length) return `the common name must begin with ${NODE}`;
  return organizations.length === 1 && organizations[0] === 'system:nodes' ? undefined : 'the organization must be system:nodes alone';
}

function hasNames({ dnsNames, ipAddresses, otherNames }: RequestedNames): boolean {
  return dnsNames.length + ipAddresses.length + otherNames.length > 0;
}

function usagesWrong(usages: readonly string[], allowed: readonly string[], needed: readonly string[]): string | undefined {
  if (!needed.every(usage => usages.includes(usage))) return `the usages ${needed.join(', ')} are needed`;
  const other = usages.find(usage => !allowed.includes(usage));
  return other === undefined ? undefined : `the usage ${other} is not allowed`;
}
