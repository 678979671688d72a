import { isUmiakError } from '#base/index.ts';

/** What is gone already needs nothing more: undefined instead of `NotFound`. */
export async function ignoreAbsent<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (isUmiakError(error, 'NotFound')) return undefined;
    throw error;
  }
}

/** What is there already is as good as made: undefined instead of `AlreadyExists`. */
export async function ignorePresent<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (isUmiakError(error, 'AlreadyExists')) return undefined;
    throw error;
  }
}
