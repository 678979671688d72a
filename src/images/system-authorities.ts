import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { absent } from './content-store.ts';

/** Where distributions keep the authorities that their administrators trust. */
const BUNDLES = ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt', '/etc/ssl/ca-bundle.pem', '/etc/ssl/cert.pem'];
const MAX_BYTES = 8 << 20;
const MAX_FILES = 1024;

/** Those that Node brings along. */
let built: Set<string> | undefined;
const read = new Map<string, { version: string; found: string[] }>();

/**
 * Certificates (PEM) that this machine trusts and Node does not by itself: those of `SSL_CERT_FILE` and `SSL_CERT_DIR`, or of the
 * distribution's bundle. A file is read again when it has changed.
 */
export async function systemAuthorities(env: NodeJS.ProcessEnv = process.env): Promise<string[]> {
  const { SSL_CERT_FILE: file, SSL_CERT_DIR: directories = '' } = env;
  const listed = await Promise.all(directories.split(':').filter(Boolean).map(filesIn));
  const files = [...(file ? [file] : directories ? [] : BUNDLES), ...listed.flat().slice(0, MAX_FILES)];
  const found = (await Promise.all(files.map(authoritiesIn))).flat();
  return [...new Set(found)];
}

/** Without the links by which OpenSSL finds a certificate's file in the same directory. */
async function filesIn(directory: string): Promise<string[]> {
  const entries = (await readdir(directory, { withFileTypes: true }).catch(absent)) ?? [];
  const paths = entries.map(async entry => {
    const path = join(directory, entry.name);
    return entry.isSymbolicLink() && !(await readlink(path)).includes('/') ? [] : [path];
  });
  return (await Promise.all(paths)).flat();
}

async function authoritiesIn(path: string): Promise<string[]> {
  const its = await stat(path).catch(() => undefined);
  if (its === undefined || !its.isFile() || its.size > MAX_BYTES) return [];
  const version = `${its.mtimeMs} ${its.size} ${its.ino}`;
  const known = read.get(path);
  if (known?.version === version) return known.found;
  built ??= new Set(rootCertificates.map(compact));
  const theirs = built;
  const pems = (await readFile(path, 'latin1')).match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  const found = pems.filter(pem => !theirs.has(compact(pem)));
  if (read.size >= MAX_FILES) read.clear();
  read.set(path, { version, found });
  return found;
}

function compact(pem: string): string {
  return pem.replace(/\s+/g, '');
}
