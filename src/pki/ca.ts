import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import { UmiakError } from '#base/errors.ts';
import { type CertificateRequest, planIssue, toGeneralNames } from './certificate-request.ts';
import { createSecretFile, makeSecretDirectory, readIfPresent, writeSecretFile } from './secret-files.ts';
import { toCertificateParts } from './signing-request.ts';
import { loadX509 } from './x509.ts';

export type { CertificateRequest } from './certificate-request.ts';

/** A certificate and its private key, both PEM. */
export interface CertificatePair {
  certificate: string;
  key: string;
}

export interface CertificateAuthorityOptions {
  /** Where `ca.crt`, `ca.key` and what `ensure` issues lie. */
  directory: string;
  clock: Clock;
  /** Common name of a newly made authority. */
  commonName?: string;
}

const ECDSA = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const DAY_MS = 86_400_000;
const AUTHORITY_DAYS = 3650;
const LEAF_DAYS = 365;
/** Certificates begin a little in the past, for machines whose clocks run behind. */
const BACKDATE_MS = 300_000;

/** Signs certificates with the key in its directory, which it makes if there is none. */
export class CertificateAuthority {
  /** The authority's own certificate, PEM: what clients trust. */
  readonly certificate: string;
  readonly #directory: string;
  readonly #clock: Clock;
  readonly #key: KeyObject;
  readonly #x509: X509Certificate;

  private constructor({ directory, clock }: CertificateAuthorityOptions, certificate: string, key: KeyObject) {
    this.#directory = directory;
    this.#clock = clock;
    this.certificate = certificate;
    this.#key = key;
    this.#x509 = new X509Certificate(certificate);
    if (!this.#x509.checkPrivateKey(key))
      throw new UmiakError('InternalError', `${join(directory, 'ca.crt')} and ca.key do not belong together`, {
        hint: 'Restore both from the same backup.',
      });
    if (this.#x509.validToDate.getTime() <= clock.now())
      throw new UmiakError('InternalError', `the cluster's certificate authority in ${directory} expired at ${this.#x509.validTo}`, {
        hint: 'Move the directory away; a new authority is made at the next start, and every client needs its new kubeconfig.',
      });
  }

  /** Loads the authority, or makes it: of several processes that try at once, all end up with the same one. */
  static async open(options: CertificateAuthorityOptions): Promise<CertificateAuthority> {
    const { directory, clock, commonName = 'kubernetes' } = options;
    await makeSecretDirectory(directory);
    const keyFile = join(directory, 'ca.key');
    const key = createPrivateKey((await readIfPresent(keyFile)) ?? (await createSecretFile(keyFile, newPrivateKey())));
    const certificateFile = join(directory, 'ca.crt');
    const certificate =
      (await readIfPresent(certificateFile)) ??
      (await createSecretFile(certificateFile, await signAuthority(key, commonName, clock.now())));
    return new CertificateAuthority(options, certificate, key);
  }

  /** Issues a certificate with a new key, and keeps neither. */
  async issue(request: CertificateRequest): Promise<CertificatePair> {
    const x509 = await loadX509();
    const key = newPrivateKey();
    const publicKey = await importPublic(createPublicKey(key));
    const now = this.#clock.now();
    const names = toGeneralNames(request);
    const certificate = await x509.X509CertificateGenerator.create({
      subject: [{ CN: [request.commonName] }, ...(request.organizations ?? []).map(organization => ({ O: [organization] }))],
      issuer: new x509.X509Certificate(this.certificate).subjectName,
      publicKey,
      signingKey: await importPrivate(this.#key),
      signingAlgorithm: ECDSA,
      notBefore: new Date(now - BACKDATE_MS),
      notAfter: new Date(Math.min(now + (request.days ?? LEAF_DAYS) * DAY_MS, this.#x509.validToDate.getTime())),
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension(request.usages.map(usage => x509.ExtendedKeyUsage[usage])),
        await x509.AuthorityKeyIdentifierExtension.create(await importPublic(this.#x509.publicKey)),
        ...(names.length ? [new x509.SubjectAlternativeNameExtension(names)] : []),
      ],
    });
    return { certificate: `${certificate.toString('pem')}\n`, key };
  }

  /** Signs what a PKCS #10 request (PEM) asks for, for `usages` in Kubernetes' words; it ends with the authority at the latest. PEM. @throws `Invalid` */
  async sign(request: string, { usages, lifeMs }: { usages: readonly string[]; lifeMs: number }): Promise<string> {
    const x509 = await loadX509();
    const { subject, publicKey, extensions } = await toCertificateParts(request, usages);
    const now = this.#clock.now();
    const certificate = await x509.X509CertificateGenerator.create({
      subject,
      issuer: new x509.X509Certificate(this.certificate).subjectName,
      publicKey,
      signingKey: await importPrivate(this.#key),
      signingAlgorithm: ECDSA,
      notBefore: new Date(now - BACKDATE_MS),
      notAfter: new Date(Math.min(now + lifeMs, this.#x509.validToDate.getTime())),
      extensions: [...extensions, await x509.AuthorityKeyIdentifierExtension.create(await importPublic(this.#x509.publicKey))],
    });
    return `${certificate.toString('pem')}\n`;
  }

  /** The pair `<name>.crt`, `<name>.key` in the authority's directory: the present one while it fits `request`, else a newly issued one. */
  async ensure(name: string, request: CertificateRequest): Promise<CertificatePair> {
    const [certificateFile, keyFile] = [join(this.#directory, `${name}.crt`), join(this.#directory, `${name}.key`)];
    const [certificate, key] = await Promise.all([readIfPresent(certificateFile), readIfPresent(keyFile)]);
    const present = certificate !== undefined && key !== undefined ? { certificate, key } : undefined;
    if (present && !planIssue(request, present, this.#x509, this.#clock.now())) return present;
    const pair = await this.issue(request);
    await writeSecretFile(keyFile, pair.key);
    await writeSecretFile(certificateFile, pair.certificate);
    return pair;
  }
}

/** A new P-256 private key, PKCS #8 PEM. */
export function newPrivateKey(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

async function signAuthority(key: KeyObject, commonName: string, now: number): Promise<string> {
  const x509 = await loadX509();
  const keys = { privateKey: await importPrivate(key), publicKey: await importPublic(createPublicKey(key)) };
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: [{ CN: [commonName] }],
    keys,
    signingAlgorithm: ECDSA,
    notBefore: new Date(now - BACKDATE_MS),
    notAfter: new Date(now + AUTHORITY_DAYS * DAY_MS),
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return `${certificate.toString('pem')}\n`;
}

function importPrivate(key: KeyObject): Promise<CryptoKey> {
  const pkcs8 = key.export({ type: 'pkcs8', format: 'der' });
  return crypto.subtle.importKey('pkcs8', new Uint8Array(pkcs8), ECDSA, false, ['sign']);
}

function importPublic(key: KeyObject): Promise<CryptoKey> {
  const spki = key.export({ type: 'spki', format: 'der' });
  return crypto.subtle.importKey('spki', new Uint8Array(spki), ECDSA, true, ['verify']);
}
