import { isUmiakError, UmiakError } from '#base/errors.ts';

const SAID = /: the registry answered \d+: (DENIED|UNAUTHORIZED|NAME_UNKNOWN|MANIFEST_UNKNOWN)(?:: ([^;]*))?/;

/**
 * Why an image can't be pulled, in the words by which docker's clients know that it is not there or not theirs. `name` is familiar, with its
 * tag or digest. Pure.
 */
export function toPullError(error: unknown, name: string): unknown {
  const [, code, words = ''] = (isUmiakError(error) && SAID.exec(error.message)) || [];
  if (code === undefined) return error;
  const repository = name.replace(/(@.*|:[^/:]*)$/, '');
  const said = words === '' ? '' : `: ${words.trim()}`;
  const refuse = (message: string) => new UmiakError('NotFound', message, { details: { kind: 'image', name }, cause: error });
  if (code === 'MANIFEST_UNKNOWN') return refuse(`manifest for ${name} not found: manifest unknown${said}`);
  if (code === 'NAME_UNKNOWN') return refuse(`repository ${repository} not found: name unknown${said}`);
  return refuse(`pull access denied for ${repository}, repository does not exist or may require 'docker login': denied${said}`);
}
