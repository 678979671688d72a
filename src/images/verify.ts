import type { Log } from '#base/log.ts';
import type { ContentStore } from './content-store.ts';
import type { Digest } from './digest.ts';
import type { ImageIndex } from './image-index.ts';
import type { VerifyOptions, VerifyReport } from './image-store.ts';
import type { NamedImages } from './named-images.ts';

/** Where to look. */
export interface VerifiedParts {
  content: ContentStore;
  index: ImageIndex;
  named: NamedImages;
  log: Log;
}

/** Reads every blob, sends the corrupt ones to the quarantine, and says which names lack content. */
export async function verifyContent(
  { content, index, named, log }: VerifiedParts,
  { signal, onProgress }: VerifyOptions,
): Promise<VerifyReport> {
  const digests = await content.list();
  const corrupt: Digest[] = [];
  let sizeBytes = 0;
  for (const [i, digest] of digests.entries()) {
    sizeBytes += (await content.size(digest)) ?? 0;
    if ((await content.verify(digest, signal)) === 'corrupt') corrupt.push(digest);
    onProgress?.(i + 1, digests.length);
  }
  for (const digest of corrupt) log.warn('a blob was altered on disk and is in quarantine now', { digest });
  const damaged: VerifyReport['damaged'] = [];
  for (const entry of index.list()) {
    const missing: Digest[] = [];
    for (const digest of new Set([entry.target.digest, entry.manifest.digest, ...(await named.blobsOf(entry))]))
      if (!(await content.has(digest))) missing.push(digest);
    if (missing.length > 0) damaged.push({ name: entry.name, missing });
  }
  return { checked: digests.length, sizeBytes, corrupt, damaged, quarantine: await content.quarantine.list() };
}
