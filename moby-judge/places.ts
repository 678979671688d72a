import { join, resolve } from 'node:path';

/** The checkout. */
export const root = resolve(import.meta.dirname, '..');

/** Everything this judge makes; never committed. */
export const cache = join(root, '.cache/moby');
