import { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { type Clock, toTime } from '#base/clock.ts';
import { UmiakError } from '#base/errors.ts';
import type { Secret } from '#kinds/types.gen.ts';
import { isClientCertificate, subjectOf } from '#pki/certificate-request.ts';
import type { ObjectRef, ServiceAccountClaims, TokenSigner } from '#pki/tokens.ts';
import { authenticateBootstrapToken, BOOTSTRAP_TOKEN } from './authn/bootstrap-token.ts';
import { checkLegacyToken } from './authn/legacy-token.ts';
import { ANONYMOUS, type Credentials, type Identity, type TokenIssuer, type TokenReviewer } from './identity.ts';

/** An object a token is bound to, as it is now. */
export interface BoundObject {
  uid?: string | undefined;
  deletionTimestamp?: string | undefined;
}

/** The metadata of what a token names, or undefined once it is gone. */
export type BoundObjectLookup = (
  kind: 'ServiceAccount' | 'Pod' | 'Secret' | 'Node',
  key: { namespace?: string; name: string },
) => BoundObject | undefined | Promise<BoundObject | undefined>;

export interface AuthenticationOptions {
  clock: Clock;
  tokens: TokenSigner;
  /** The certificate of the authority whose client certificates are believed, PEM. */
  authority: string;
  lookup: BoundObjectLookup;
  /** Secrets, for the tokens that stand in them; absent: such tokens are refused. */
  secretOf?: ((key: { namespace: string; name: string }) => Secret | undefined) | undefined;
}

export interface Authentication {
  authenticate: (credentials: Credentials) => Promise<Identity>;
  reviewToken: TokenReviewer;
  issueToken: TokenIssuer;
}

/** How long after its moment of deletion a pod's token still serves, so that it can say good-bye. */
const DELETED_GRACE_MS = 60_000;
const WEBSOCKET_BEARER = 'base64url.bearer.authorization.k8s.io.';

/**
 * A bearer token goes first and decides alone; then the connection's client certificate; who shows neither is anonymous.
 * The listener must ask for certificates without refusing (`requestCert: true, rejectUnauthorized: false`): they are judged here.
 */
export function createAuthentication({ clock, tokens, authority, lookup, secretOf }: AuthenticationOptions): Authentication {
  const authorityCertificate = new X509Certificate(authority);

  const identify = async (token: string, audiences: string[]): Promise<{ identity: Identity; audiences: string[] }> => {
    if (BOOTSTRAP_TOKEN.test(token)) {
      if (!audiences.includes(tokens.issuer)) throw new UmiakError('Unauthorized', 'a bootstrap token is meant for the API server alone');
      return { identity: authenticateBootstrapToken(token, secretOf, clock.now()), audiences: [tokens.issuer] };
    }
    const legacy = tokens.verifyLegacy(token);
    if (legacy) {
      if (!audiences.includes(tokens.issuer)) throw new UmiakError('Unauthorized', 'the token is meant for the API server alone');
      return { identity: await checkLegacyToken({ token, claims: legacy, secretOf, lookup }), audiences: [tokens.issuer] };
    }
    const claims = tokens.verify(token, audiences);
    await checkBoundObjects(claims, lookup, clock.now());
    return { identity: toServiceAccountIdentity(claims), audiences: audiences.filter(audience => claims.aud.includes(audience)) };
  };
  const own = [tokens.issuer];

  return {
    async authenticate({ headers, socket }) {
      const token = bearerTokenOf(headers);
      if (token !== undefined) return (await identify(token, own)).identity;
      const shown = socket?.getPeerX509Certificate && certificateIdentity(socket, authorityCertificate, clock.now());
      return shown || ANONYMOUS;
    },

    reviewToken: (token, audiences) => identify(token, audiences.length ? audiences : own),

    async issueToken({ namespace, serviceAccount, audiences, expirationSeconds, boundTo, node }) {
      const bound: { pod?: ObjectRef; secret?: ObjectRef; node?: ObjectRef } = {};
      if (boundTo) bound[boundKey[boundTo.kind]] = { name: boundTo.name, uid: boundTo.uid };
      const { token, claims } = tokens.sign({ namespace, serviceAccount, audiences, expirationSeconds, ...(node && { node }), ...bound });
      return { token, expirationTimestamp: toTime(claims.exp * 1000), audiences: claims.aud, credentialId: `JTI=${claims.jti}` };
    },
  };
}

/** The bearer token of a request, from its header or, for browsers' WebSockets, from its subprotocols. */
function bearerTokenOf(headers: Credentials['headers']): string | undefined {
  const [, token] = /^bearer +(\S+)\s*$/i.exec(headers.authorization ?? '') ?? [];
  if (token !== undefined) return token;
  const offered = headers['sec-websocket-protocol']?.split(',').map(protocol => protocol.trim());
  const encoded = offered?.find(protocol => protocol.startsWith(WEBSOCKET_BEARER))?.slice(WEBSOCKET_BEARER.length);
  return encoded === undefined ? undefined : Buffer.from(encoded, 'base64url').toString('utf8');
}

const boundKey = { Pod: 'pod', Secret: 'secret', Node: 'node' } as const;

async function checkBoundObjects(claims: ServiceAccountClaims, lookup: BoundObjectLookup, now: number): Promise<void> {
  const { namespace, serviceaccount, pod, secret, node } = claims['kubernetes.io'];
  const check = async (kind: Parameters<BoundObjectLookup>[0], key: { namespace?: string; name: string }, uid: string | undefined) => {
    const object = await lookup(kind, key);
    const deletedAt = object?.deletionTimestamp ? Date.parse(object.deletionTimestamp) : Number.POSITIVE_INFINITY;
    if (!object || (uid !== undefined && object.uid !== uid) || now > deletedAt + DELETED_GRACE_MS)
      throw new UmiakError('Unauthorized', `the token is bound to ${kind} ${key.name}, which is gone or was made anew`);
  };
  await check('ServiceAccount', { namespace, name: serviceaccount.name }, serviceaccount.uid);
  if (pod) await check('Pod', { namespace, name: pod.name }, pod.uid);
  if (secret) await check('Secret', { namespace, name: secret.name }, secret.uid);
  // With a pod the node is only told; bound to alone, it must live.
  if (node && !pod) await check('Node', { name: node.name }, node.uid);
}

function toServiceAccountIdentity(claims: ServiceAccountClaims): Identity {
  const { namespace, serviceaccount, pod, node } = claims['kubernetes.io'];
  const extra: Record<string, string[]> = { 'authentication.kubernetes.io/credential-id': [`JTI=${claims.jti}`] };
  if (node) {
    extra['authentication.kubernetes.io/node-name'] = [node.name];
    if (node.uid) extra['authentication.kubernetes.io/node-uid'] = [node.uid];
  }
  if (pod) {
    extra['authentication.kubernetes.io/pod-name'] = [pod.name];
    extra['authentication.kubernetes.io/pod-uid'] = [pod.uid];
  }
  return {
    name: claims.sub,
    uid: serviceaccount.uid,
    groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
    extra,
  };
}

/** What a connection's certificate was found to be: judged once, its dates looked at with every request. */
interface Judgement {
  identity: Identity | undefined;
  refusal?: string;
  fromMs: number;
  toMs: number;
}

/** Kept on the socket itself: behind HTTP/2's socket proxies, which are made anew, a property is found where a WeakMap's key is not. */
const JUDGEMENT = Symbol('client certificate');

function certificateIdentity(
  socket: TLSSocket & { [JUDGEMENT]?: Judgement },
  authority: X509Certificate,
  now: number,
): Identity | undefined {
  socket[JUDGEMENT] ??= judge(socket.getPeerX509Certificate(), authority);
  const { identity, refusal, fromMs, toMs } = socket[JUDGEMENT];
  if (refusal) throw new UmiakError('Unauthorized', refusal);
  if (identity && now < fromMs) throw new UmiakError('Unauthorized', 'the client certificate is not valid yet');
  if (identity && now > toMs) throw new UmiakError('Unauthorized', 'the client certificate has expired');
  return identity;
}

/**
 * Checks the leaf against the authority itself, which signs without intermediates: a resumed session brings the leaf without its chain,
 * and `socket.authorized` is true for one that brings nothing.
 */
function judge(certificate: X509Certificate | undefined, authority: X509Certificate): Judgement {
  if (!certificate) return { identity: undefined, fromMs: 0, toMs: 0 };
  const [fromMs, toMs] = [certificate.validFromDate.getTime(), certificate.validToDate.getTime()];
  const refuse = (refusal: string): Judgement => ({ identity: undefined, refusal, fromMs, toMs });
  if (!certificate.checkIssued(authority) || !certificate.verify(authority.publicKey))
    return refuse('the client certificate was not issued by this cluster');
  if (!isClientCertificate(certificate)) return refuse('the certificate is not one for clients');
  const { CN, O } = subjectOf(certificate);
  if (!CN) return refuse('the client certificate names nobody');
  const extra = {
    'authentication.kubernetes.io/credential-id': [`X509SHA256=${certificate.fingerprint256.replaceAll(':', '').toLowerCase()}`],
  };
  return { identity: { name: CN, groups: [...O, 'system:authenticated'], extra }, fromMs, toMs };
}
