import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, lstatSync, opendirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { hostPlatform, mediaTypes } from '#images/oci.ts';

/** What each layer holds, MB of content: a base, and what people put on it. */
const LAYERS_MB = [106, 75, 47, 33, 10];
/** A third small files of all kinds, the rest libraries and programs, as in a distribution's image. */
const SOURCES = { '/usr/share': 0.35, '/usr/lib': 0.4, '/usr/bin': 0.25 };
const MOST_FILE_BYTES = 12e6;

export interface LayeredImage {
  /** An OCI layout as a directory, `docker load` and `ctr images import` take it as a tar archive. */
  archive: string;
  reference: string;
  /** Of all layers, not compressed. */
  sizeBytes: number;
  files: number;
}

/** An image of about 283 MB in five gzipped layers, made of files of this machine, written below `directory`. */
export async function makeLayeredImage(directory: string, reference: string): Promise<LayeredImage> {
  const sources = Object.entries(SOURCES).map(([top, share]) => ({ files: filesBelow(top), share }));
  const blobs = join(directory, 'blobs', 'sha256');
  execFileSync('mkdir', ['-p', blobs]);
  const layers: { digest: string; size: number; diffId: string }[] = [];
  let [sizeBytes, files] = [0, 0];
  for (const [i, megabytes] of LAYERS_MB.entries()) {
    const names = sources.flatMap(({ files, share }) => take(files, megabytes * share * 1e6));
    const [list, plain, packed] = [`list-${i}`, `layer-${i}.tar`, `layer-${i}.tar.gz`].map(name => join(directory, name)) as [
      string,
      string,
      string,
    ];
    writeFileSync(list, names.map(name => `${name.slice(1)}\0`).join(''));
    execFileSync('tar', ['-C', '/', '-cf', plain, '--null', '-T', list], { stdio: 'pipe' });
    await pipeline(createReadStream(plain), createGzip({ level: 6 }), createWriteStream(packed));
    const digest = await digestOfFile(packed);
    layers.push({ digest, size: statSync(packed).size, diffId: await digestOfFile(plain) });
    execFileSync('mv', [packed, join(blobs, digest.slice(7))]);
    sizeBytes += statSync(plain).size;
    files += names.length;
    execFileSync('rm', [plain, list]);
  }
  const put = (content: unknown) => {
    const bytes = JSON.stringify(content);
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    writeFileSync(join(blobs, digest.slice(7)), bytes);
    return { digest, size: bytes.length };
  };
  const config = put({
    ...hostPlatform(),
    config: { Cmd: ['true'] },
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
  });
  const manifest = put({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: mediaTypes.ociConfig, ...config },
    layers: layers.map(({ digest, size }) => ({ mediaType: mediaTypes.ociLayerGzip, digest, size })),
  });
  const annotations = { 'io.containerd.image.name': reference };
  writeFileSync(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(
    join(directory, 'index.json'),
    JSON.stringify({
      schemaVersion: 2,
      manifests: [{ mediaType: mediaTypes.ociManifest, ...manifest, platform: hostPlatform(), annotations }],
    }),
  );
  const archive = join(directory, 'image.tar');
  execFileSync('tar', ['-C', directory, '-cf', archive, 'oci-layout', 'index.json', 'blobs']);
  return { archive, reference, sizeBytes, files };
}

function take(files: Iterator<{ path: string; size: number }>, bytes: number): string[] {
  const names: string[] = [];
  for (let total = 0; total < bytes; ) {
    const next = files.next();
    if (next.done) break;
    if (next.value.size > MOST_FILE_BYTES) continue;
    names.push(next.value.path);
    total += next.value.size;
  }
  return names;
}

function* filesBelow(top: string): Generator<{ path: string; size: number }> {
  const directory = opendirSync(top);
  const names: string[] = [];
  for (let entry = directory.readSync(); entry; entry = directory.readSync()) names.push(entry.name);
  directory.closeSync();
  for (const name of names.sort()) {
    const path = join(top, name);
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found?.isDirectory()) yield* filesBelow(path);
    else if (found?.isFile() || found?.isSymbolicLink()) yield { path, size: found.size };
  }
}

async function digestOfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return `sha256:${hash.digest('hex')}`;
}
