import type { IncomingHttpHeaders } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { Identity } from './identity.ts';
import type { Media } from './media.ts';
import type { StreamOutcome, UpgradeOutcome } from './node-proxy.ts';
import type { Served } from './resources.ts';
import type { Selection } from './selection.ts';
import type { StoredObject } from './stored-object.ts';

/** One call of the API, whatever brought it. */
export interface ApiRequest {
  readonly method: string;
  /** Path with query, as sent. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly socket?: TLSSocket | undefined;
  readonly remoteAddress?: string | undefined;
  /** Set by callers in the same process, who need no credentials. */
  readonly identity?: Identity | undefined;
  /** What the answer says besides, whatever it is. */
  extraHeaders?: Record<string, string>;
  /** The whole body. @throws `RequestEntityTooLarge` */
  readBody(): Promise<Buffer>;
  /** Aborts when the caller has gone. */
  readonly signal: AbortSignal;
}

/** For a resource: which, where, and what is to be done with it. */
export interface ResourceRoute {
  type: 'resource';
  served: Served;
  verb: Verb;
  namespace: string;
  name: string;
  subresource: string;
  /** What follows the subresource: the path of a proxied request. */
  rest: string;
}

/** For everything else: `/version`, `/apis`, … */
export interface PathRoute {
  type: 'path';
  path: string;
  verb: string;
  /** For a resource that is not served: what it would be, by which it is judged as if it were. */
  unserved?: { verb: string; group: string; version: string; resource: string; subresource: string; namespace: string; name: string };
}

export type Route = ResourceRoute | PathRoute;

export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete' | 'deletecollection';

/** What is known of a request on its way through the pipeline. */
export interface Context<R extends Route = Route> {
  readonly request: ApiRequest;
  readonly query: URLSearchParams;
  readonly route: R;
  /** How the answer is to look. */
  readonly media: Media;
  identity: Identity;
  /** Who really asks, where `identity` is whom they impersonate. */
  impersonator?: Identity;
  /** For the audit log: what the steps found, under Kubernetes' keys. Present only while something records them. */
  annotations?: Record<string, string>;
  /** To be called once a watch or a stream has ended. */
  ended?: () => void;
  /** Sentences for `Warning:` headers. */
  readonly warnings: string[];
}

/** What came of a request, before it takes its form on a wire. */
export type Outcome =
  | { type: 'stored'; status: number; served: Served; object: StoredObject }
  /** An object that is not in the store: dry runs, reviews, Status, discovery. */
  | { type: 'value'; status: number; value: unknown; contentType?: string; served?: Served; headers?: Record<string, string> }
  | { type: 'bytes'; status: number; bytes: Buffer; contentType: string; headers?: Record<string, string> }
  | StreamOutcome
  | UpgradeOutcome
  | ListOutcome
  | WatchOutcome;

export interface ListOutcome {
  type: 'list';
  served: Served;
  items: Iterable<StoredObject>;
  revision: number;
  continueToken: string | undefined;
  remaining: number | undefined;
}

export interface WatchOutcome {
  type: 'watch';
  served: Served;
  selection: Selection;
  start: WatchStart;
  bookmarks: boolean;
  timeoutMs: number;
}

export type WatchStart =
  /** All that is there as ADDED, then what follows; `marked`: with a bookmark between the two. */
  { from: 'present'; marked: boolean } | { from: 'now' } | { from: 'revision'; revision: number };
