import { ftruncateSync, writeSync } from 'node:fs';
import type { TarEntry } from './tar-reader.ts';

/** Writes an entry's content to a file that was just made; holes stay holes. Blocks: for worker threads. */
export async function writeContent(fd: number, entry: TarEntry): Promise<void> {
  if (entry.sparse) await writeSparse(fd, entry);
  else for await (const chunk of entry.body()) writeFully(fd, chunk);
}

function writeFully(fd: number, chunk: Buffer, position: number | null = null): void {
  for (let offset = 0; offset < chunk.length; )
    offset += writeSync(fd, chunk, offset, chunk.length - offset, position === null ? null : position + offset);
}

/** Writes the stored pieces where they lie; the rest stays a hole. */
async function writeSparse(fd: number, { sparse, body }: TarEntry): Promise<void> {
  const pieces = (sparse?.pieces ?? []).filter(({ length }) => length > 0);
  ftruncateSync(fd, sparse?.sizeBytes ?? 0);
  let [index, done] = [0, 0];
  for await (const chunk of body()) {
    for (let at = 0; at < chunk.length; ) {
      const { offset, length } = pieces[index]!;
      const part = chunk.subarray(at, at + length - done);
      writeFully(fd, part, offset + done);
      at += part.length;
      done += part.length;
      if (done < length) continue;
      index += 1;
      done = 0;
    }
  }
}
