import { isUmiakError, UmiakError } from '#base/errors.ts';
import type { Store } from '#store/store.ts';
import { checkListOptions, parseCount, parseRevision, tooLargeRevision } from './list-options.ts';
import type { Context, ListOutcome, ResourceRoute } from './request.ts';
import type { ListView } from './resource-cache.ts';
import type { Stored } from './resources.ts';
import { parseSelection, type Selection, selects } from './selection.ts';
import { isSliceOver, nextSlice } from './slices.ts';
import { badRequest, ExpiredContinue } from './status.ts';
import { StoredObject } from './stored-object.ts';

/** Where a list goes on: after which key, and as of which revision (-1: whatever is newest then). */
interface Position {
  revision: number;
  start: string;
  /** When the first page was read, in seconds. */
  since?: number | undefined;
  /** How many objects there are from `start` on, where that is known. */
  left?: number | undefined;
}

/** A list that is not read to its end within this time goes on with what is there by then: as upstream, whose store forgets as fast. */
const MOST_SECONDS = 300;

/** Reads a resource's objects as of one revision, by page if asked. */
export async function list({ route, query }: Context<ResourceRoute>, served: Stored, store: Store, nowMs: number): Promise<ListOutcome> {
  const selection = parseSelection(served, route.namespace, query);
  const limit = parseCount(query, 'limit');
  const now = Math.floor(nowMs / 1000);
  const { at, atLeast = 0, start, since = now, left } = planRead(query, limit);
  if (start !== undefined && now - since > MOST_SECONDS) throw new ExpiredContinue(encodeContinue({ revision: -1, start }));
  const { cache } = served;
  const newest = at ?? atLeast;
  if (newest > cache.revision) throw tooLargeRevision(newest, cache.revision);
  const reading: Reading = { served, selection, from: start ?? selection.from, limit, since };

  const kept = at === undefined ? cache.snapshot({ keep: limit > 0 && cache.now.size > limit }) : cache.snapshotAt(at);
  if (!kept) return await readStore(reading, store, { at: at!, left, continued: start !== undefined });
  await selection.converter?.show([...kept.view.range(reading.from, selection.to)]);
  return await readView(reading, kept);
}

/** Which part of what is to be read. */
interface Reading {
  served: Stored;
  selection: Selection;
  from: string;
  /** 0: all. */
  limit: number;
  since: number;
}

/** Which revision is to be read (absent: the newest, which must be no older than `atLeast`) and from which key on. */
function planRead(query: URLSearchParams, limit: number): Partial<Position> & { at?: number; atLeast?: number } {
  const token = query.get('continue') ?? '';
  const version = query.get('resourceVersion') ?? '';
  const match = query.get('resourceVersionMatch') ?? '';
  checkListOptions(query);
  if (token) {
    if (version !== '' && version !== '0') throw badRequest('specifying resource version is not allowed when using continue');
    const { revision, start, since, left } = decodeContinue(token);
    return revision < 0 ? { start } : { at: revision, start, since, left };
  }
  const revision = parseRevision(version);
  return match === 'Exact' || (match === '' && limit > 0 && revision > 0) ? { at: revision } : { atLeast: revision };
}

/** Looks at one object after the other, in slices: what a selector sees may have to be parsed first. */
async function readView({ served, selection, from, limit, since }: Reading, { view, revision }: ListView): Promise<ListOutcome> {
  const done = { type: 'list', served, revision, continueToken: undefined, remaining: undefined } as const;
  const all = { [Symbol.iterator]: () => view.range(from, selection.to) }; // to be gone through more than once: the audit log does
  if (limit === 0 && selection.isWhole) return { ...done, items: all };
  const items: StoredObject[] = [];
  for (const object of all) {
    if (!selection.isWhole && isSliceOver()) await nextSlice();
    if (!selection.isWhole && !selects(selection, object)) continue;
    if (limit > 0 && items.length === limit) {
      const start = `${items.at(-1)!.key}\0`;
      const left = selection.isWhole ? view.count(start, selection.to) : undefined;
      return { ...done, items, continueToken: encodeContinue({ revision, start, since, left }), remaining: left };
    }
    items.push(object);
  }
  return { ...done, items };
}

/** The way of lists whose snapshot is no longer in memory. */
async function readStore(
  { served, selection, from, limit, since }: Reading,
  store: Store,
  { at, left, continued }: { at: number; left: number | undefined; continued: boolean },
): Promise<ListOutcome> {
  const { prefix, layout } = served.cache;
  const items: StoredObject[] = [];
  const whole: ListOutcome = { type: 'list', served, items, revision: at, continueToken: undefined, remaining: undefined };
  let next: string | undefined = prefix + from;
  try {
    while (next !== undefined) {
      const page = await store.list(prefix, { at, from: next, limit: 1000 });
      const read = page.entries.map(({ key, value, revision }) => new StoredObject(layout, key.slice(prefix.length), value, revision));
      await selection.converter?.show(read);
      for (const object of read) {
        if (object.key >= selection.to) return whole;
        if (!selects({ ...selection, from: '' }, object)) continue;
        if (limit > 0 && items.length === limit) {
          const remaining = selection.isWhole && left !== undefined ? left - limit : undefined;
          const continueToken = encodeContinue({ revision: at, start: `${items.at(-1)!.key}\0`, since, left: remaining });
          return { ...whole, continueToken, remaining };
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
  return whole;
}

function encodeContinue({ revision, start, since, left }: Position): string {
  return Buffer.from(JSON.stringify({ v: 'meta.k8s.io/v1', rv: revision, start, since, left })).toString('base64url');
}

function decodeContinue(token: string): Position {
  try {
    const { v, rv, start, since, left } = JSON.parse(Buffer.from(token, 'base64url').toString()) as Record<string, unknown>;
    if (v === 'meta.k8s.io/v1' && isCount(rv, -1) && typeof start === 'string')
      return { revision: rv, start, since: isCount(since) ? since : undefined, left: isCount(left) ? left : undefined };
  } catch {
    // said below
  }
  throw badRequest('continue key is not valid: it is not a token that this server gave');
}

function isCount(value: unknown, least = 0): value is number {
  return Number.isSafeInteger(value) && (value as number) >= least;
}
