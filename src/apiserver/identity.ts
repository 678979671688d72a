import type { IncomingHttpHeaders } from 'node:http';
import type { TLSSocket } from 'node:tls';

/** Who asks: `authentication.k8s.io/v1` UserInfo in the server's words. */
export interface Identity {
  name: string;
  uid?: string;
  groups: string[];
  extra?: Record<string, string[]>;
}

/** What an authenticator may look at. `socket` is absent for requests that did not come by TLS. */
export interface Credentials {
  headers: IncomingHttpHeaders;
  socket?: TLSSocket | undefined;
}

/** Finds out who asks; nobody's credentials give the anonymous identity or, if that is not let in, @throws `Unauthorized`. */
export type Authenticator = (credentials: Credentials) => Identity | Promise<Identity>;

/** What is asked for, as `authorization.k8s.io/v1` names it. A request that is for no resource has `path` and no `resource`. */
export interface Attributes {
  identity: Identity;
  /** `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, `impersonate`, …; for paths the HTTP method in lower case. */
  verb: string;
  group: string;
  version: string;
  resource: string;
  subresource: string;
  namespace: string;
  name: string;
  /** Of lists and watches, as asked; the Node authorizer lets agents read pods only with `spec.nodeName=<their node>`. */
  fieldSelector?: string | undefined;
  /** Of lists and watches, as asked. */
  labelSelector?: string | undefined;
  /** The non-resource path, e.g. `/metrics`. */
  path?: string;
}

export interface Decision {
  allowed: boolean;
  reason: string;
  /** An explicit no that no other rule may turn into a yes. */
  denied?: boolean;
}

export type Authorizer = (attributes: Attributes) => Decision | Promise<Decision>;

/** A rule of `SelfSubjectRulesReview`. */
export interface ResourceRule {
  verbs: string[];
  apiGroups: string[];
  resources: string[];
  resourceNames?: string[];
}

export interface NonResourceRule {
  verbs: string[];
  nonResourceURLs: string[];
}

/** Everything that `identity` may do in `namespace`. `incomplete` where an authorizer can't list its rules. */
export type RulesOf = (
  identity: Identity,
  namespace: string,
) => Promise<{ resourceRules: ResourceRule[]; nonResourceRules: NonResourceRule[]; incomplete: boolean }>;

/** Whom a bearer token names, for `TokenReview`. @throws `Unauthorized` with what is wrong with it. */
export type TokenReviewer = (token: string, audiences: string[]) => Promise<{ identity: Identity; audiences: string[] }>;

/** What `serviceaccounts/token` asks to be signed. `boundTo` ends the token's life with that object's. */
export interface TokenOrder {
  namespace: string;
  serviceAccount: { name: string; uid: string };
  audiences: string[];
  expirationSeconds: number;
  boundTo?: { kind: 'Pod' | 'Secret' | 'Node'; name: string; uid: string };
  /** For tokens bound to a pod: the node it runs on. */
  node?: { name: string; uid?: string };
}

export interface IssuedToken {
  token: string;
  expirationTimestamp: string;
  audiences: string[];
  /** What the bearer's `authentication.kubernetes.io/credential-id` will be. */
  credentialId: string;
}

export type TokenIssuer = (order: TokenOrder) => Promise<IssuedToken>;

/** The identity of requests that bear no credentials. */
export const ANONYMOUS: Identity = { name: 'system:anonymous', groups: ['system:unauthenticated'] };

/** What the server itself acts as, in-process. */
export const SYSTEM: Identity = { name: 'system:apiserver', groups: ['system:masters', 'system:authenticated'] };
