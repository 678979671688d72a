import { UmiakError } from '#base/errors.ts';
import { loadX509 } from './x509.ts';

/** What a PKCS #10 request asks to have certified. */
export interface SigningRequest {
  commonName: string;
  organizations: string[];
  dnsNames: string[];
  ipAddresses: string[];
  /** Email addresses and URIs: other names than a server's. */
  otherNames: string[];
}

/** Kubernetes' words for what a certificate may be used for, with X.509's. */
const KEY_USAGES = {
  'digital signature': 'digitalSignature',
  signing: 'digitalSignature',
  'content commitment': 'nonRepudiation',
  'key encipherment': 'keyEncipherment',
  'key agreement': 'keyAgreement',
  'data encipherment': 'dataEncipherment',
  'cert sign': 'keyCertSign',
  'crl sign': 'cRLSign',
  'encipher only': 'encipherOnly',
  'decipher only': 'decipherOnly',
} as const;
const EXTENDED_USAGES: Record<string, string> = {
  any: '2.5.29.37.0',
  'server auth': '1.3.6.1.5.5.7.3.1',
  'client auth': '1.3.6.1.5.5.7.3.2',
  'code signing': '1.3.6.1.5.5.7.3.3',
  'email protection': '1.3.6.1.5.5.7.3.4',
  's/mime': '1.3.6.1.5.5.7.3.4',
  'ipsec end system': '1.3.6.1.5.5.7.3.5',
  'ipsec tunnel': '1.3.6.1.5.5.7.3.6',
  'ipsec user': '1.3.6.1.5.5.7.3.7',
  timestamping: '1.3.6.1.5.5.7.3.8',
  'ocsp signing': '1.3.6.1.5.5.7.3.9',
  'microsoft sgc': '1.3.6.1.4.1.311.10.3.3',
  'netscape sgc': '2.16.840.1.113730.4.1',
};

/** Reads a PEM request and checks that who made it holds its key. @throws `Invalid` saying what is wrong with it */
export async function parseSigningRequest(pem: string): Promise<SigningRequest> {
  const x509 = await loadX509();
  const request = await open(pem);
  const field = (name: string) => request.subjectName.getField(name);
  const names = alternativeNamesOf(request, x509)?.names.items ?? [];
  const of = (...types: string[]) => names.filter(({ type }) => types.includes(type)).map(({ value }) => value);
  return {
    commonName: field('CN').at(-1) ?? '',
    organizations: field('O'),
    dnsNames: of('dns'),
    ipAddresses: of('ip'),
    otherNames: names.filter(({ type }) => type !== 'dns' && type !== 'ip').map(({ value }) => value),
  };
}

/** The parts of a certificate that a request and its usages determine: subject, key and extensions. */
export async function toCertificateParts(pem: string, usages: readonly string[]) {
  const x509 = await loadX509();
  const request = await open(pem);
  const flags = Object.entries(KEY_USAGES)
    .filter(([word]) => usages.includes(word))
    .reduce((all, [, name]) => all | x509.KeyUsageFlags[name], 0);
  const extended = [...new Set(usages.flatMap(usage => EXTENDED_USAGES[usage] ?? []))];
  const names = alternativeNamesOf(request, x509);
  return {
    subject: request.subjectName,
    publicKey: request.publicKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      ...(flags ? [new x509.KeyUsagesExtension(flags, true)] : []),
      ...(extended.length ? [new x509.ExtendedKeyUsageExtension(extended)] : []),
      ...(names ? [names] : []),
    ],
  };
}

type Library = Awaited<ReturnType<typeof loadX509>>;

function alternativeNamesOf({ extensions }: { extensions: readonly object[] }, { SubjectAlternativeNameExtension }: Library) {
  return extensions.find(extension => extension instanceof SubjectAlternativeNameExtension);
}

async function open(pem: string) {
  const x509 = await loadX509();
  try {
    const request = new x509.Pkcs10CertificateRequest(pem);
    if (await request.verify()) return request;
  } catch (cause) {
    throw new UmiakError('Invalid', 'the certificate request can not be parsed', { cause });
  }
  throw new UmiakError('Invalid', "the certificate request's signature is wrong");
}
