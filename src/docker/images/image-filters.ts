import { matchesGlob } from 'node:path';
import { type ImageRecord, toFamiliarName } from '#images/index.ts';
import { type Filters, flagFilter, hasLabel, toMoment } from '../filters.ts';
import { createdMs } from './image-forms.ts';

export const LIST_FILTERS = ['dangling', 'label', 'reference', 'before', 'since', 'until'] as const;

/** What `planImageFilter` must know besides the image. */
export interface FilterFacts {
  nowMs: number;
  /** When the images that `before` and `since` name were made, in milliseconds. */
  createdOf: (reference: string) => number;
}

/** Whether an image passes all filters. */
export function planImageFilter(filters: Filters, { nowMs, createdOf }: FilterFacts): (record: ImageRecord) => boolean {
  const tests: ((record: ImageRecord) => boolean)[] = [];
  const dangling = flagFilter(filters, 'dangling');
  if (dangling !== undefined) tests.push(({ repoTags }) => (repoTags.length === 0) === dangling);
  for (const label of filters.get('label') ?? []) tests.push(record => hasLabel(record.config.config?.Labels ?? {}, label));
  for (const label of filters.get('label!') ?? []) tests.push(record => !hasLabel(record.config.config?.Labels ?? {}, label));
  const references = filters.get('reference') ?? [];
  if (references.length > 0) tests.push(record => references.some(pattern => fitsReference(record, pattern)));
  for (const before of filters.get('before') ?? []) {
    const limit = createdOf(before);
    tests.push(record => createdMs(record) < limit);
  }
  for (const since of filters.get('since') ?? []) {
    const limit = createdOf(since);
    tests.push(record => createdMs(record) > limit);
  }
  for (const until of filters.get('until') ?? []) {
    const limit = toMoment(until, nowMs);
    tests.push(record => createdMs(record) < limit);
  }
  return record => tests.every(passes => passes(record));
}

/** With a filter on references, an image shows the names that fit and no others. */
export function withFittingNames(record: ImageRecord, filters: Filters): ImageRecord {
  const patterns = filters.get('reference') ?? [];
  if (patterns.length === 0) return record;
  const fit = (names: string[]) => names.filter(name => patterns.some(pattern => nameFits(name, pattern)));
  return { ...record, repoTags: fit(record.repoTags), repoDigests: fit(record.repoDigests) };
}

function fitsReference({ repoTags, repoDigests }: ImageRecord, pattern: string): boolean {
  return [...repoTags, ...repoDigests].some(name => nameFits(name, pattern));
}

/** Docker matches the familiar name, with and without the tag, against a shell pattern. */
function nameFits(canonicalName: string, pattern: string): boolean {
  const name = toFamiliarName(canonicalName);
  const bare = name.includes('@') ? name.slice(0, name.indexOf('@')) : name.slice(0, name.lastIndexOf(':'));
  return matchesGlob(name, pattern) || matchesGlob(bare, pattern);
}
