import { isUmiakError, UmiakError } from '#base/errors.ts';
import type { Store } from '#store/store.ts';
import { checkListOptions, parseCount, parseRevision, tooLargeRevision } from './list-options.ts';
import type { Context, ListOutcome, ResourceRoute } from './request.ts';
import type { ListView } from './resource-cache.ts';
import type { Stored } from './resources.ts';
import { parseSelection, type Selection, selects } from './selection.ts';
import { badRequest, ExpiredContinue } from './status.ts';
import { StoredObject } from './stored-object.ts';

/** Where a list goes on: after which key, and as of which revision (-1: whatever is newest then). */
interface Position {
  revision: number;
  start: string;
}

/** Reads a resource's objects as of one revision, by page if asked. */
export async function list({ route, query }: Context<ResourceRoute>, served: Stored, store: Store): Promise<ListOutcome> {
  const selection = parseSelection(served, route.namespace, query);
  const limit = parseCount(query, 'limit');
  const { at, atLeast = 0, start } = planRead(query, limit);
  const { cache } = served;
  const newest = at ?? atLeast;
  if (newest > cache.revision) throw tooLargeRevision(newest, cache.revision);
  const from = start ?? selection.from;

  const kept = at === undefined ? cache.snapshot({ keep: limit > 0 && cache.now.size > limit }) : cache.snapshotAt(at);
  if (kept) return readView(served, kept, selection, from, limit);
  return await readStore(served, store, selection, from, limit, at!, start !== undefined);
}

/** Which revision is to be read (absent: the newest, which must be no older than `atLeast`) and from which key on. */
function planRead(query: URLSearchParams, limit: number): { at?: number; atLeast?: number; start?: string } {
  const token = query.get('continue') ?? '';
  const version = query.get('resourceVersion') ?? '';
  const match = query.get('resourceVersionMatch') ?? '';
  checkListOptions(query);
  if (token) {
    if (version !== '' && version !== '0') throw badRequest('specifying resource version is not allowed when using continue');
    const { revision, start } = decodeContinue(token);
    return revision < 0 ? { start } : { at: revision, start };
  }
  const revision = parseRevision(version);
  return match === 'Exact' || (match === '' && limit > 0 && revision > 0) ? { at: revision } : { atLeast: revision };
}

function readView(served: Stored, { view, revision }: ListView, selection: Selection, from: string, limit: number): ListOutcome {
  const done = { type: 'list', served, revision, continueToken: undefined, remaining: undefined } as const;
  if (limit === 0) {
    const all = view.range(from, selection.to);
    return { ...done, items: selection.isWhole ? all : filtered(all, selection) };
  }
  const items: StoredObject[] = [];
  for (const object of view.range(from, selection.to)) {
    if (!selection.isWhole && !selects(selection, object)) continue;
    if (items.length === limit) {
      const start = `${items.at(-1)!.key}\0`;
      const remaining = selection.isWhole ? view.count(start, selection.to) : undefined;
      return { ...done, items, continueToken: encodeContinue({ revision, start }), remaining };
    }
    items.push(object);
  }
  return { ...done, items };
}

/** The way of lists whose snapshot is no longer in memory. */
async function readStore(
  served: Stored,
  store: Store,
  selection: Selection,
  from: string,
  limit: number,
  at: number,
  continued: boolean,
): Promise<ListOutcome> {
  const { prefix, layout } = served.cache;
  const items: StoredObject[] = [];
  let next: string | undefined = prefix + from;
  try {
    while (next !== undefined) {
      const page = await store.list(prefix, { at, from: next, limit: 1000 });
      for (const { key, value, revision } of page.entries) {
        const object = new StoredObject(layout, key.slice(prefix.length), value, revision);
        if (object.key >= selection.to)
          return { type: 'list', served, items, revision: at, continueToken: undefined, remaining: undefined };
        if (!selects({ ...selection, from: '' }, object)) continue;
        if (limit > 0 && items.length === limit) {
          const token = encodeContinue({ revision: at, start: `${items.at(-1)!.key}\0` });
          return { type: 'list', served, items, revision: at, continueToken: token, remaining: undefined };
        }
        items.push(object);
      }
      next = page.next;
    }
  } catch (error) {
    if (!isUmiakError(error, 'Expired')) throw error;
    if (continued) throw new ExpiredContinue(encodeContinue({ revision: -1, start: from }));
    throw new UmiakError('Expired', 'The resourceVersion for the provided list is too old.', { cause: error });
  }
  return { type: 'list', served, items, revision: at, continueToken: undefined, remaining: undefined };
}

function* filtered(objects: Iterable<StoredObject>, selection: Selection): Generator<StoredObject> {
  for (const object of objects) if (selects(selection, object)) yield object;
}

function encodeContinue({ revision, start }: Position): string {
  return Buffer.from(JSON.stringify({ v: 'meta.k8s.io/v1', rv: revision, start })).toString('base64url');
}

function decodeContinue(token: string): Position {
  try {
    const { v, rv, start } = JSON.parse(Buffer.from(token, 'base64url').toString()) as { v?: unknown; rv?: unknown; start?: unknown };
    if (v === 'meta.k8s.io/v1' && Number.isSafeInteger(rv) && typeof start === 'string') return { revision: rv as number, start };
  } catch {
    // said below
  }
  throw badRequest('continue key is not valid: it is not a token that this server gave');
}
