import type { CacheEntry } from '#builder/index.ts';

/** One entry of `system df`'s `BuildCache`. Pure. */
export function toBuildCache({
  id,
  parent,
  description,
  inUse,
  shared,
  sizeBytes,
  createdAtMs,
  usedAtMs,
  uses,
}: CacheEntry): Record<string, unknown> {
  return {
    ID: id.slice(0, 25),
    Parent: parent.slice(0, 25),
    ...(parent === '' ? {} : { Parents: [parent.slice(0, 25)] }),
    Type: 'regular',
    Description: description,
    InUse: inUse,
    Shared: shared,
    Size: sizeBytes,
    CreatedAt: new Date(createdAtMs).toISOString(),
    LastUsedAt: new Date(usedAtMs).toISOString(),
    UsageCount: uses,
  };
}
