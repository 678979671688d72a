import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { UmiakError } from '#base/errors.ts';
import { spending } from '#base/spent.ts';
import { CHUNK_BYTES, decompressed } from './decompress.ts';
import type { Digest } from './digest.ts';
import { LayerTree } from './layer-tree.ts';
import { readTar } from './tar-reader.ts';
import type { UnpackLimits } from './unpack-limits.ts';

export interface UnpackResult {
  diffId: Digest;
  /** Bytes of all files' content. */
  sizeBytes: number;
  entries: number;
  /** What it takes of the disk, about. */
  diskBytes: number;
  inodes: number;
}

export interface UnpackOptions {
  /** The content's digest, as the image's configuration announces it. */
  expected?: Digest;
  limits?: UnpackLimits;
}

/**
 * Unpacks one layer below `root`, an empty directory, in the form overlayfs reads: a whiteout is a character device 0:0,
 * an opaque directory has `trusted.overlay.opaque`. Owner, modes, times, extended attributes, devices, holes and hard links are kept.
 * Names are resolved as a process in the container would see them: an absolute name or link starts at `root`; `..` in a name,
 * or a link that climbs above `root`, is refused. Holds a chunk of the archive, and the names of directories. Blocks on the disk: for worker threads.
 * @throws Invalid naming the bad entry, or when the content's digest is not `expected`. The caller removes `root` then.
 */
export async function unpackLayer(blobPath: string, root: string, { expected, limits }: UnpackOptions = {}): Promise<UnpackResult> {
  const hash = createHash('sha256');
  async function* hashed(): AsyncGenerator<Uint8Array> {
    for await (const chunk of decompressed(spending(createReadStream(blobPath, { highWaterMark: CHUNK_BYTES })), 'the layer')) {
      hash.update(chunk);
      yield chunk;
    }
  }
  const tree = new LayerTree(root, limits);
  for await (const entry of readTar(hashed(), { sparse: true })) await tree.add(entry);
  tree.finish();
  const diffId: Digest = `sha256:${hash.digest('hex')}`;
  if (expected !== undefined && diffId !== expected)
    throw new UmiakError('Invalid', `the layer's content has the digest ${diffId}; the image's configuration announces ${expected}`);
  const { sizeBytes, entries, diskBytes, inodes } = tree;
  return { diffId, sizeBytes, entries, diskBytes, inodes };
}
