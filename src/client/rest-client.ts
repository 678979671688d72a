import { isUmiakError, UmiakError } from '#base/errors.ts';
import { apiVersionOf, type Key, type Kind, type KubeObject } from '#kinds/kind.ts';
import type { Client, DeleteQuery, ListOf, ListQuery, PatchType, WatchEvent, WatchQuery } from './client.ts';
import { fromStatus } from './status-error.ts';
import type { Transport, TransportRequest, WatchFrame } from './transport.ts';

const PATCH_CONTENT_TYPE: Record<PatchType, string> = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
};

/** The typed client over a transport. */
export function createClient(transport: Transport): Client {
  const call = async <R>(request: TransportRequest): Promise<R> => {
    const { status, body } = await transport.request(request);
    if (status >= 400) throw fromStatus(body, status);
    return body as R;
  };

  const read = async <R>(path: string): Promise<R | undefined> => {
    try {
      return await call<R>({ method: 'GET', path });
    } catch (error) {
      if (isUmiakError(error, 'NotFound')) return undefined;
      throw error;
    }
  };

  return {
    get: (kind, key) => read(pathOf(kind, key)),
    getSubresource: (kind, key, subresource) => read(`${pathOf(kind, key)}/${subresource}`),
    async list<T extends KubeObject>(kind: Kind<T>, query: ListQuery = {}): Promise<ListOf<T>> {
      const list = await call<{ items?: T[]; metadata: { resourceVersion: string; continue?: string } }>({
        method: 'GET',
        path: collectionPathOf(kind, query.namespace) + queryOf(query),
      });
      const { apiVersion, kind: kindName } = { apiVersion: apiVersionOf(kind.resource), kind: kind.resource.kind };
      const items = (list.items ?? []).map(item => ({ ...item, apiVersion, kind: kindName }));
      return { items, resourceVersion: list.metadata.resourceVersion, continue: list.metadata.continue || undefined };
    },
    create: (kind, object) =>
      call({ method: 'POST', path: collectionPathOf(kind, object.metadata.namespace), body: withType(kind, object) }),
    update: (kind, object) => call({ method: 'PUT', path: pathOf(kind, object.metadata), body: withType(kind, object) }),
    updateStatus: (kind, object) => call({ method: 'PUT', path: `${pathOf(kind, object.metadata)}/status`, body: withType(kind, object) }),
    patch: (kind, key, patch, { type = 'strategic', subresource } = {}) =>
      call({
        method: 'PATCH',
        path: pathOf(kind, key) + (subresource ? `/${subresource}` : ''),
        body: patch,
        contentType: PATCH_CONTENT_TYPE[type],
      }),
    async delete(kind: Kind, key: Key, options: DeleteQuery = {}) {
      await call({ method: 'DELETE', path: pathOf(kind, key), body: { kind: 'DeleteOptions', apiVersion: 'v1', ...options } });
    },
    async deleteCollection(kind: Kind, query: ListQuery = {}, options: DeleteQuery = {}) {
      const path = collectionPathOf(kind, query.namespace) + queryOf(query);
      await call({ method: 'DELETE', path, body: { kind: 'DeleteOptions', apiVersion: 'v1', ...options } });
    },
    createSubresource: (kind, key, subresource, body) => call({ method: 'POST', path: `${pathOf(kind, key)}/${subresource}`, body }),
    replaceSubresource: (kind, key, subresource, body) => call({ method: 'PUT', path: `${pathOf(kind, key)}/${subresource}`, body }),
    watch: (kind, query, signal) => watch(transport, kind, query, signal),
  };
}

/** Frames that wait to be taken; beyond it a transport that can stops reading. */
const MOST_WAITING = 1_000;

/** Turns the transport's pushed frames into an iteration; frames that wait are kept in order. */
async function* watch<T extends KubeObject>(
  transport: Transport,
  kind: Kind<T>,
  query: WatchQuery,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent<T>> {
  const initial = query.resourceVersion === undefined;
  const path =
    collectionPathOf(kind, query.namespace) +
    queryOf({ ...query, ...(initial ? { resourceVersionMatch: 'NotOlderThan' } : {}) }, [
      ['watch', 'true'],
      ['allowWatchBookmarks', 'true'],
      ...(initial ? [['sendInitialEvents', 'true'] as const] : []),
    ]);
  const stop = new AbortController();
  let waiting: WatchFrame[] = [];
  let wake = () => {};
  let end: { error?: unknown } | undefined;
  let room: { promise: Promise<void>; resolve: () => void } | undefined;
  const receive = (frame: WatchFrame): Promise<void> | undefined => {
    waiting.push(frame);
    wake();
    if (waiting.length < MOST_WAITING) return undefined;
    room ??= Promise.withResolvers<void>();
    return room.promise;
  };
  const finish = (error?: unknown) => {
    end = error === undefined ? {} : { error };
    wake();
  };
  transport.watch({ path, signal: AbortSignal.any([signal, stop.signal]), receive }).then(
    () => finish(),
    error => finish(error ?? new UmiakError('ServiceUnavailable', `the watch of ${path} broke off`)),
  );
  try {
    while (!signal.aborted) {
      const frames = waiting;
      waiting = [];
      room?.resolve();
      room = undefined;
      for (const frame of frames) {
        if (signal.aborted) return;
        yield toWatchEvent<T>(frame);
      }
      if (waiting.length > 0) continue;
      if (end) {
        if (end.error !== undefined && !signal.aborted) throw end.error;
        return;
      }
      await new Promise<void>(resolve => (wake = resolve));
    }
  } finally {
    stop.abort();
    room?.resolve();
  }
}

function toWatchEvent<T extends KubeObject>({ type, object }: WatchFrame): WatchEvent<T> {
  if (type === 'ERROR') throw fromStatus(object, 500);
  if (type === 'BOOKMARK') return { type, resourceVersion: (object as T).metadata.resourceVersion };
  if (type === 'ADDED' || type === 'MODIFIED' || type === 'DELETED') return { type, object: object as T };
  throw new UmiakError('InternalError', `the API sent a watch event of unknown type ${JSON.stringify(type)}`);
}

function withType<T extends { apiVersion?: string; kind?: string }>(kind: Kind, object: T): T {
  return { ...object, apiVersion: apiVersionOf(kind.resource), kind: kind.resource.kind };
}

/** `/apis/apps/v1/namespaces/x/deployments`; without a namespace, all namespaces' collection. */
export function collectionPathOf({ resource }: Kind, namespace?: string): string {
  const root = resource.group ? `/apis/${resource.group}/${resource.version}` : `/api/${resource.version}`;
  const scope = resource.namespaced && namespace ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  return `${root}${scope}/${resource.plural}`;
}

/** The path of one object. */
export function pathOf(kind: Kind, { namespace, name }: { namespace?: string | undefined; name?: string | undefined }): string {
  if (!name) throw new UmiakError('BadRequest', `${kind.resource.kind} needs a name to be addressed`);
  return `${collectionPathOf(kind, namespace)}/${encodeURIComponent(name)}`;
}

function queryOf(
  { namespace: _, ...query }: ListQuery & { resourceVersionMatch?: string },
  extra: readonly (readonly [string, string])[] = [],
): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== '') parameters.set(name, String(value));
  for (const [name, value] of extra) parameters.set(name, value);
  const text = parameters.toString();
  return text ? `?${text}` : '';
}
