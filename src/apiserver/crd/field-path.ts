import { formatPath } from '#kinds/schema.ts';

/** Where a value stands. */
export type Path = (string | number)[];

/** The field in messages; the whole object is nil to upstream. */
export function fieldAt(path: Path): string {
  return path.length === 0 ? '<nil>' : formatPath(path);
}
