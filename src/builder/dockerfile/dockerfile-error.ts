import { UmiakError } from '#base/errors.ts';

/** What is wrong with a Dockerfile, in docker's words, with the line where its instruction begins. */
export function dockerfileError(line: number, message: string): UmiakError {
  return new UmiakError('Invalid', `dockerfile parse error line ${line}: ${message}`);
}
