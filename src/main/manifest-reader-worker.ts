import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { UmiakError } from '#base/errors.ts';
import { serveCalls } from '#base/worker-calls.ts';
import { type Manifest, parseManifest } from './manifest-text.ts';

/** Larger than any manifest people write; what is larger is not one. */
const MOST_BYTES = 16 << 20;

/** A file as it was read. */
export interface ReadManifest extends Manifest {
  checksum: string;
  bytes: number;
}

const handlers = {
  /** Reads and parses a file: parsing megabytes of YAML takes longer than the server's event loop may be held. @throws `Invalid` */
  async read(path: string): Promise<ReadManifest> {
    const { size } = await stat(path);
    if (size > MOST_BYTES) throw new UmiakError('Invalid', `it has ${size} bytes, more than the ${MOST_BYTES} that are read`);
    const content = await readFile(path);
    return { ...parseManifest(content.toString()), checksum: createHash('sha256').update(content).digest('hex'), bytes: content.length };
  },
};

export type ManifestReaderHandlers = typeof handlers;
serveCalls(handlers);
