import { UmiakError } from '#base/errors.ts';
import { parseReference, toCanonicalName } from '#images/index.ts';

/** The name that an image is to have by `repo` and `tag`, if any; without a tag it is `latest`. @throws BadRequest. Pure. */
export function namesOf(query: URLSearchParams): string[] {
  const [repo, tag] = [query.get('repo') ?? '', query.get('tag') ?? ''];
  if (repo === '') return [];
  const reference = parseReference(tag === '' ? repo : `${repo}:${tag}`);
  if (reference.digest !== undefined) throw new UmiakError('BadRequest', 'cannot import digest reference');
  return [toCanonicalName(reference)];
}
