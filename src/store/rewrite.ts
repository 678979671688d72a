import type { Store } from './store.ts';

/**
 * Writes every value under `prefix` once more as it is, so that the present transformer has written all of them: after a key was
 * changed. What others write meanwhile is new anyway. Gives how many were written.
 */
export async function rewriteValues(store: Store, prefix: string): Promise<number> {
  let written = 0;
  const { entries } = await store.list(prefix);
  for (let i = 0; i < entries.length; i += 64) {
    const results = await Promise.all(
      entries
        .slice(i, i + 64)
        .map(({ key, value, revision }) => store.commit({ conditions: [{ key, revision }], writes: [{ key, value }] })),
    );
    written += results.filter(({ ok }) => ok).length;
  }
  return written;
}
