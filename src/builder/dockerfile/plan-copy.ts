import { posix } from 'node:path';
import { UmiakError } from '#base/errors.ts';
import type { CopyOperation, CopySource } from '../graph.ts';
import type { CopyInstruction } from './instructions.ts';

/** A `COPY` or `ADD` as an operation. @throws Invalid in docker's words. Pure. */
export function planCopy(
  instruction: CopyInstruction,
  { expand, workingDir, source }: { expand: (text: string) => string; workingDir: string; source: number | undefined },
): CopyOperation {
  const { keyword, chown, chmod, checksum } = instruction;
  const paths = instruction.sources.map(expand);
  const asked = expand(instruction.destination);
  if (asked === '') throw invalid(`${keyword} requires a destination`);
  const destination = toDestination(asked, workingDir);
  const isMany = paths.length > 1 || paths.some(path => /[*?[]/.test(path));
  if (paths.length > 1 && !destination.endsWith('/'))
    throw invalid(`When using ${keyword} with more than one source file, the destination must be a directory and end with a /`);
  if (isMany && paths.some(path => path === '')) throw invalid(`${keyword}: a source is empty`);
  const owner = chown === undefined ? '' : expand(chown);
  const operation: CopyOperation = {
    kind: 'copy',
    keyword,
    destination,
    unpacks: keyword === 'ADD',
    source: sourceOf(paths, instruction, source),
  };
  if (checksum !== undefined && operation.source.kind !== 'addresses') throw invalid('checksum can be specified only for HTTP sources');
  if (owner !== '') operation.chown = owner;
  if (chmod !== undefined) operation.mode = toMode(expand(chmod));
  return operation;
}

function sourceOf(paths: string[], { keyword, checksum }: CopyInstruction, source: number | undefined): CopySource {
  if (source !== undefined) return { kind: 'vertex', vertex: source, paths };
  const addresses = keyword === 'ADD' ? paths.filter(isAddress) : [];
  if (addresses.length === 0) return { kind: 'context', paths };
  for (const address of addresses)
    if (/^(git@|git:|ssh:)|\.git(#|$)/.test(address)) throw invalid(`ADD of a git repository (${address.slice(0, 200)}) requires BuildKit`);
  if (checksum !== undefined && !/^sha256:[0-9a-f]{64}$/.test(checksum))
    throw invalid(`invalid checksum ${checksum.slice(0, 100)}: must be sha256:<hex>`);
  return { kind: 'addresses', addresses, paths: paths.filter(path => !isAddress(path)), ...(checksum !== undefined ? { checksum } : {}) };
}

function isAddress(path: string): boolean {
  return /^https?:\/\//i.test(path);
}

function toDestination(asked: string, workingDir: string): string {
  const path = posix.normalize(posix.isAbsolute(asked) ? asked : posix.join('/', workingDir, asked));
  const isDirectory = /(^|\/)\.{0,2}$/.test(asked) && asked !== '';
  return isDirectory && !path.endsWith('/') ? `${path}/` : path;
}

function toMode(text: string): number {
  if (!/^[0-7]{1,5}$/.test(text) || Number.parseInt(text, 8) > 0o7777)
    throw invalid(`invalid chmod parameter: '${text.slice(0, 100)}'. it should be octal string and between 0 and 07777`);
  return Number.parseInt(text, 8);
}

function invalid(message: string): UmiakError {
  return new UmiakError('Invalid', message);
}
