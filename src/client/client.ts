import type { Draft, Key, Kind, KubeObject } from '#kinds/kind.ts';

export interface ListQuery {
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  limit?: number | undefined;
  continue?: string | undefined;
  resourceVersion?: string | undefined;
}

export interface ListOf<T> {
  items: T[];
  resourceVersion: string;
  continue?: string | undefined;
}

export type WatchEvent<T> =
  | { type: 'ADDED' | 'MODIFIED' | 'DELETED'; object: T }
  /** Nothing before this revision is still to come. */
  | { type: 'BOOKMARK'; resourceVersion: string };

export interface WatchQuery extends ListQuery {
  /** Start after this revision; absent: the present objects come first as ADDED, then a BOOKMARK. */
  resourceVersion?: string | undefined;
}

export interface DeleteQuery {
  gracePeriodSeconds?: number;
  propagationPolicy?: 'Background' | 'Foreground' | 'Orphan';
  preconditions?: { uid?: string; resourceVersion?: string };
}

export type PatchType = 'json' | 'merge' | 'strategic';

/**
 * The typed client of the API: the only way controllers, scheduler and node agent see the cluster. In-process and over HTTPS alike.
 * Failures are `UmiakError` with the server's reason. Objects it returns are the caller's own to change.
 */
export interface Client {
  /** Undefined when there is no such object: absence is a state. */
  get<T extends KubeObject>(kind: Kind<T>, key: Key): Promise<T | undefined>;
  list<T extends KubeObject>(kind: Kind<T>, query?: ListQuery): Promise<ListOf<T>>;
  create<T extends KubeObject>(kind: Kind<T>, object: Draft<T>): Promise<T>;
  /** Whole replacement; `metadata.resourceVersion` in `object` makes it conditional. */
  update<T extends KubeObject>(kind: Kind<T>, object: T): Promise<T>;
  updateStatus<T extends KubeObject>(kind: Kind<T>, object: T): Promise<T>;
  patch<T extends KubeObject>(kind: Kind<T>, key: Key, patch: unknown, options?: { type?: PatchType; subresource?: string }): Promise<T>;
  delete(kind: Kind, key: Key, options?: DeleteQuery): Promise<void>;
  /** Deletes all that the query selects. */
  deleteCollection(kind: Kind, query?: ListQuery, options?: DeleteQuery): Promise<void>;
  /** GET of a subresource: `deployments/x/scale`. Undefined when there is no such object or it has no such subresource. */
  getSubresource<R = unknown>(kind: Kind, key: Key, subresource: string): Promise<R | undefined>;
  /** POST to a subresource: `pods/x/binding`, `serviceaccounts/x/token`. Returns the body of the answer. */
  createSubresource<R = unknown>(kind: Kind, key: Key, subresource: string, body: unknown): Promise<R>;
  /** PUT of a subresource's body: `namespaces/x/finalize`. */
  replaceSubresource<R = unknown>(kind: Kind, key: Key, subresource: string, body: unknown): Promise<R>;
  /** Ends when `signal` aborts (quietly) or the server ends it; throws `Expired` when the revision is gone. */
  watch<T extends KubeObject>(kind: Kind<T>, query: WatchQuery, signal: AbortSignal): AsyncIterable<WatchEvent<T>>;
}
