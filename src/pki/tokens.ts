import { createHash, createPrivateKey, createPublicKey, type KeyObject, randomUUID, sign, verify } from 'node:crypto';
import type { Clock } from '#base/clock.ts';
import { UmiakError } from '#base/errors.ts';
import { newPrivateKey } from './ca.ts';
import { createSecretFile, readIfPresent } from './secret-files.ts';

/** An object a token names, by name and uid. */
export interface ObjectRef {
  name: string;
  uid: string;
}

/** What a service-account token says: the claims of Kubernetes' bound tokens (KEP-1205, KEP-4193). */
export interface ServiceAccountClaims {
  iss: string;
  sub: string;
  aud: string[];
  /** Seconds since the epoch. */
  iat: number;
  nbf: number;
  exp: number;
  jti: string;
  'kubernetes.io': {
    namespace: string;
    serviceaccount: ObjectRef;
    pod?: ObjectRef;
    secret?: ObjectRef;
    node?: { name: string; uid?: string };
  };
}

/** What the token in a Secret of type `kubernetes.io/service-account-token` says. It does not end; its Secret's deletion ends it. */
export interface LegacyClaims {
  iss: typeof LEGACY_ISSUER;
  sub: string;
  'kubernetes.io/serviceaccount/namespace': string;
  'kubernetes.io/serviceaccount/secret.name': string;
  'kubernetes.io/serviceaccount/service-account.name': string;
  'kubernetes.io/serviceaccount/service-account.uid': string;
}

export interface TokenRequest {
  namespace: string;
  serviceAccount: ObjectRef;
  /** The cluster's own audience if none is given. */
  audiences?: string[];
  expirationSeconds: number;
  pod?: ObjectRef;
  secret?: ObjectRef;
  node?: { name: string; uid?: string };
}

export interface TokenSignerOptions {
  /** PKCS #8 PEM of an EC P-256 key. */
  key: string;
  clock: Clock;
  /** The `iss` claim, and the audience of tokens for the API itself. */
  issuer?: string;
  /** PEM of keys that signed before and are still believed. */
  formerKeys?: string[];
}

export const DEFAULT_ISSUER = 'https://kubernetes.default.svc.cluster.local';
const LEGACY_ISSUER = 'kubernetes/serviceaccount';
/** Upstream's bound: 2^32 seconds. */
const MAX_EXPIRATION_SECONDS = 2 ** 32;
const MAX_TOKEN_BYTES = 8192;
const MAX_REMEMBERED = 1024;

/** Reads the signing key at `path`, making it if there is none. */
export async function ensureTokenKey(path: string): Promise<string> {
  return (await readIfPresent(path)) ?? (await createSecretFile(path, newPrivateKey()));
}

/** Signs and verifies service-account tokens. Verified ones are remembered, so that a token costs its elliptic curve once. */
export class TokenSigner {
  readonly issuer: string;
  readonly #clock: Clock;
  readonly #key: KeyObject;
  readonly #keyId: string;
  readonly #publicKeys: Map<string, KeyObject>;
  /** Least recently used first. */
  readonly #remembered = new Map<string, ServiceAccountClaims>();
  readonly #rememberedLegacy = new Map<string, LegacyClaims>();

  constructor({ key, clock, issuer = DEFAULT_ISSUER, formerKeys = [] }: TokenSignerOptions) {
    this.issuer = issuer;
    this.#clock = clock;
    this.#key = createPrivateKey(key);
    this.#publicKeys = new Map([key, ...formerKeys].map(pem => createPublicKey(pem)).map(publicKey => [keyIdOf(publicKey), publicKey]));
    this.#keyId = keyIdOf(createPublicKey(key));
  }

  sign(request: TokenRequest): { token: string; claims: ServiceAccountClaims } {
    const { namespace, serviceAccount, audiences, pod, secret, node } = request;
    const now = Math.floor(this.#clock.now() / 1000);
    const claims: ServiceAccountClaims = {
      aud: audiences?.length ? audiences : [this.issuer],
      exp: now + Math.min(request.expirationSeconds, MAX_EXPIRATION_SECONDS),
      iat: now,
      iss: this.issuer,
      jti: randomUUID(),
      'kubernetes.io': {
        namespace,
        ...(node && { node }),
        ...(pod && { pod }),
        ...(secret && { secret }),
        serviceaccount: serviceAccount,
      },
      nbf: now,
      sub: `system:serviceaccount:${namespace}:${serviceAccount.name}`,
    };
    return { token: this.#sign(claims), claims };
  }

  /** The token for a Secret that asks for one. */
  signLegacy({ namespace, secretName, serviceAccount }: { namespace: string; secretName: string; serviceAccount: ObjectRef }): string {
    const claims: LegacyClaims = {
      iss: LEGACY_ISSUER,
      'kubernetes.io/serviceaccount/namespace': namespace,
      'kubernetes.io/serviceaccount/secret.name': secretName,
      'kubernetes.io/serviceaccount/service-account.name': serviceAccount.name,
      'kubernetes.io/serviceaccount/service-account.uid': serviceAccount.uid,
      sub: `system:serviceaccount:${namespace}:${serviceAccount.name}`,
    };
    return this.#sign(claims);
  }

  /** The claims of a Secret's token, or undefined for one of another kind. @throws `Unauthorized` when it is not signed by us. */
  verifyLegacy(token: string): LegacyClaims | undefined {
    const known = this.#rememberedLegacy.get(token);
    if (known) return known;
    const payload = token.split('.')[1];
    if (this.#remembered.has(token) || payload === undefined || token.length > MAX_TOKEN_BYTES) return undefined;
    const claims = decode<LegacyClaims>(payload);
    if (claims.iss !== LEGACY_ISSUER) return undefined;
    this.#checkSignature(token);
    remember(this.#rememberedLegacy, token, claims);
    return claims;
  }

  #sign(claims: object): string {
    const head = `${encode({ alg: 'ES256', kid: this.#keyId })}.${encode(claims)}`;
    return `${head}.${sign('sha256', Buffer.from(head), { key: this.#key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  }

  /**
   * The claims of a token that one of our keys signed, that is valid now and meant for one of `audiences`.
   * @throws `Unauthorized`, saying what is wrong with it.
   */
  verify(token: string, audiences: string[] = [this.issuer]): ServiceAccountClaims {
    const claims = this.#recall(token) ?? this.#check(token);
    const now = this.#clock.now() / 1000;
    if (now >= claims.exp) throw unauthorized('service account token has expired');
    if (now + 60 < claims.nbf) throw unauthorized('service account token is not valid yet');
    if (!claims.aud.some(audience => audiences.includes(audience)))
      throw unauthorized(`token audiences ${JSON.stringify(claims.aud)} is invalid for the target audiences ${JSON.stringify(audiences)}`);
    return claims;
  }

  /** The document at `/openid/v1/jwks`. */
  jwks(): { keys: Record<string, string>[] } {
    return {
      keys: [...this.#publicKeys].map(([kid, key]) => {
        const { kty, crv, x, y } = key.export({ format: 'jwk' });
        return { use: 'sig', kty: kty!, kid, crv: crv!, alg: 'ES256', x: x!, y: y! };
      }),
    };
  }

  /** The document at `/.well-known/openid-configuration`. */
  openidConfiguration(jwksUri = `${this.issuer}/openid/v1/jwks`): Record<string, unknown> {
    return {
      issuer: this.issuer,
      jwks_uri: jwksUri,
      response_types_supported: ['id_token'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['ES256'],
    };
  }

  #recall(token: string): ServiceAccountClaims | undefined {
    const claims = this.#remembered.get(token);
    if (!claims) return undefined;
    this.#remembered.delete(token);
    this.#remembered.set(token, claims);
    return claims;
  }

  #check(token: string): ServiceAccountClaims {
    const claims = this.#checkSignature(token) as ServiceAccountClaims;
    if (claims.iss !== this.issuer) throw unauthorized(`the bearer token's issuer is ${JSON.stringify(claims.iss)}, not this cluster`);
    remember(this.#remembered, token, claims);
    return claims;
  }

  /** What the token says, once the signature is found right. */
  #checkSignature(token: string): { iss: string } {
    const parts = token.split('.');
    if (parts.length !== 3 || token.length > MAX_TOKEN_BYTES) throw unauthorized('the bearer token is not a token of this cluster');
    const [header, payload, signature] = parts as [string, string, string];
    const { alg, kid } = decode<{ alg?: unknown; kid?: unknown }>(header);
    const key = typeof kid === 'string' ? this.#publicKeys.get(kid) : undefined;
    if (alg !== 'ES256' || !key) throw unauthorized('the bearer token was not signed with a key of this cluster');
    const signed = Buffer.from(`${header}.${payload}`);
    if (!verify('sha256', signed, { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url')))
      throw unauthorized("the bearer token's signature is wrong");
    return decode<{ iss: string }>(payload);
  }
}

function remember<T>(map: Map<string, T>, token: string, claims: T): void {
  map.set(token, claims);
  if (map.size > MAX_REMEMBERED) map.delete(map.keys().next().value!);
}

/** As Kubernetes names keys: the hash of the public key's DER form. */
function keyIdOf(key: KeyObject): string {
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('base64url');
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function decode<T>(part: string): T {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    if (typeof value === 'object' && value !== null) return value as T;
  } catch {
    // Said below.
  }
  throw unauthorized('the bearer token is not a token of this cluster');
}

function unauthorized(message: string): UmiakError {
  return new UmiakError('Unauthorized', message);
}
