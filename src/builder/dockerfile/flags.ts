import { UmiakError } from '#base/errors.ts';
import type { Line } from './lines.ts';

/** Flags of an instruction by name. @throws Invalid for unknown ones, and in docker's words for those that are BuildKit's alone */
export function readFlags(
  { flags, keyword }: Pick<Line, 'flags' | 'keyword'>,
  { known = [], buildKit = [] }: { known?: readonly string[]; buildKit?: readonly string[] },
): Record<string, string> {
  const found: Record<string, string> = {};
  for (const flag of flags) {
    const [, name = '', value] = /^--([^=]*)(?:=([\s\S]*))?$/.exec(flag) ?? [];
    if (buildKit.includes(name))
      throw new UmiakError(
        'Invalid',
        `the --${name} option requires BuildKit. Refer to https://docs.docker.com/go/buildkit/ to learn how to build images with BuildKit enabled`,
      );
    if (!known.includes(name)) throw new UmiakError('Invalid', `unknown flag: ${name.slice(0, 100)}`);
    if (value === undefined) throw new UmiakError('Invalid', `missing a value on flag: ${name}`);
    if (found[name] !== undefined) throw new UmiakError('Invalid', `Duplicate flag specified: ${name} (of ${keyword})`);
    found[name] = value;
  }
  return found;
}
