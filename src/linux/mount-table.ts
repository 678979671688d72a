import { readFileSync } from 'node:fs';

/** One line of `/proc/self/mountinfo`. */
export interface MountEntry {
  target: string;
  type: string;
  source: string;
  /** Of the mount and of the file system, each once. */
  options: string[];
}

/** Reads a mount table; later entries lie over earlier ones with the same target. Pure. */
export function parseMountTable(mountinfo: string): MountEntry[] {
  return mountinfo.split('\n').flatMap(line => {
    const [left = '', right = ''] = line.split(' - ');
    const [, , , , target, own = ''] = left.split(' ');
    const [type = '', source = '', shared = ''] = right.split(' ');
    if (target === undefined) return [];
    return [
      {
        target: unescapeOctal(target),
        type,
        source: unescapeOctal(source),
        options: [...new Set([...own.split(','), ...shared.split(',')])],
      },
    ];
  });
}

export function readMountTable(): MountEntry[] {
  return parseMountTable(readFileSync('/proc/self/mountinfo', 'utf8'));
}

/** Mount points at or below `directory`, the deepest last. */
export function mountsBelow(directory: string): string[] {
  const mountinfo = readFileSync('/proc/self/mountinfo', 'utf8');
  const isPlain = !/[\s\\]/.test(directory);
  // Machines with many containers have long tables, and mostly there is nothing to find.
  if (isPlain && !mountinfo.includes(` ${directory}`)) return [];
  return parseMountTable(mountinfo)
    .map(({ target }) => target)
    .filter(target => target === directory || target.startsWith(`${directory}/`));
}

/** A path as mount tables write it. Pure. */
export function unescapeOctal(text: string): string {
  return text.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
