import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ArchiveEntry } from './archive-reader.ts';
import { fromText } from './tar-format.ts';

/** The files of an OCI layout (or an unpacked `docker save`) in a directory, as the entries of an archive. Links are not followed. */
export async function* readLayoutDirectory(dir: string): AsyncGenerator<ArchiveEntry, void, undefined> {
  for (const item of (await readdir(dir, { recursive: true, withFileTypes: true })).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (!item.isFile()) continue;
    const path = join(item.parentPath, item.name);
    const { size } = await stat(path);
    const body = () => createReadStream(path, { highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>;
    yield { name: fromText(path.slice(dir.length).replace(/^\/+/, '')), type: 'file', linkName: '', sizeBytes: size, body };
  }
}
