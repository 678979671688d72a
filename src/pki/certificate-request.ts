import { createPrivateKey, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import type { CertificatePair } from './ca.ts';

/** What a certificate is to say. */
export interface CertificateRequest {
  commonName: string;
  /** Groups, in a client certificate. */
  organizations?: string[];
  /** DNS names and IP addresses the certificate is good for. */
  hosts?: string[];
  usages: ('serverAuth' | 'clientAuth')[];
  /** Life in days; a year if not said. */
  days?: number;
}

const USAGE_OIDS = { serverAuth: '1.3.6.1.5.5.7.3.1', clientAuth: '1.3.6.1.5.5.7.3.2' };

/** Why the present certificate must be issued anew, or undefined if it serves. */
export function planIssue(
  request: CertificateRequest,
  present: CertificatePair,
  authority: X509Certificate,
  now: number,
): string | undefined {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(present.certificate);
    if (!certificate.checkPrivateKey(createPrivateKey(present.key))) return 'the key does not belong to it';
  } catch {
    return 'it cannot be read';
  }
  if (!certificate.checkIssued(authority) || !certificate.verify(authority.publicKey)) return 'another authority issued it';
  if (now < certificate.validFromDate.getTime()) return 'it is not valid yet';
  if (now >= renewalMomentOf(certificate)) return 'less than a third of its life is left';
  const { CN, O } = subjectOf(certificate);
  if (CN !== request.commonName || !sameSet(O, request.organizations ?? [])) return 'the subject changed';
  if (!sameSet(hostsOf(certificate), canonicalHosts(request.hosts ?? []))) return 'the host names changed';
  if (
    !sameSet(
      certificate.keyUsage ?? [],
      request.usages.map(usage => USAGE_OIDS[usage]),
    )
  )
    return 'the usages changed';
  return undefined;
}

/** From when on a third of the certificate's life is left and it is issued anew; milliseconds since the epoch. */
export function renewalMomentOf({ validFromDate, validToDate }: X509Certificate): number {
  const [from, to] = [validFromDate.getTime(), validToDate.getTime()];
  return Math.ceil(to - (to - from) / 3) + 1;
}

/** Common name and organizations of a certificate's subject. */
export function subjectOf(certificate: X509Certificate): { CN: string; O: string[] } {
  const { CN, O } = certificate.toLegacyObject().subject as { CN?: string | string[]; O?: string | string[] };
  return { CN: [CN ?? ''].flat().at(-1)!, O: [O ?? []].flat() };
}

/** True when the certificate may be used by a TLS client. */
export function isClientCertificate(certificate: X509Certificate): boolean {
  return certificate.keyUsage?.includes(USAGE_OIDS.clientAuth) ?? false;
}

/** The request's hosts as the library takes subject alternative names. */
export function toGeneralNames({ hosts = [] }: CertificateRequest): { type: 'ip' | 'dns'; value: string }[] {
  return canonicalHosts(hosts).map(value => ({ type: isIP(value) ? 'ip' : 'dns', value }));
}

function hostsOf(certificate: X509Certificate): string[] {
  if (!certificate.subjectAltName) return [];
  return canonicalHosts(certificate.subjectAltName.split(', ').map(name => name.replace(/^(DNS|IP Address):/, '')));
}

function canonicalHosts(hosts: string[]): string[] {
  return [...new Set(hosts.map(host => (isIP(host) === 6 ? new URL(`http://[${host}]`).hostname.slice(1, -1) : host.toLowerCase())))];
}

function sameSet(left: string[], right: string[]): boolean {
  const [a, b] = [new Set(left), new Set(right)];
  return a.size === b.size && a.isSubsetOf(b);
}
