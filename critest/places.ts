import { join, resolve } from 'node:path';

/** The checkout. */
export const root = resolve(import.meta.dirname, '..');

/** Everything this tool makes; never committed. */
export const cache = join(root, '.cache/critest');

/** Where `buildJudges` puts crictl, or where it would. */
export const crictl = join(cache, 'bin/crictl');
