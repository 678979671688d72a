import { readFileSync } from 'node:fs';

/** A file of `/proc` or `/sys`; undefined where the kernel does not have it, or does not let us read it. */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** The first number of such a file. */
export function readNumber(path: string): number | undefined {
  const found = /\d+/.exec(readText(path) ?? '');
  return found ? Number(found[0]) : undefined;
}

/** Words of such a file, however they are set apart; undefined where there is no such file. */
export function readWords(path: string): string[] | undefined {
  return readText(path)
    ?.split(/[\s,]+/)
    .filter(Boolean);
}
