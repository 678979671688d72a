import { randomBytes, randomUUID } from 'node:crypto';

/** No vowels, no look-alikes: the alphabet of Kubernetes' generated names. */
const NAME_ALPHABET = 'bcdfghjklmnpqrstvwxz2456789';

/** A fresh object UID (RFC 4122, version 4). */
export function newUid(): string {
  return randomUUID();
}

/** `length` random characters for `generateName` and pod names. */
export function newNameSuffix(length = 5): string {
  let suffix = '';
  while (suffix.length < length)
    for (const byte of randomBytes(length * 2)) {
      if (byte < 9 * NAME_ALPHABET.length && suffix.length < length) suffix += NAME_ALPHABET[byte % NAME_ALPHABET.length];
    }
  return suffix;
}

/** 64 hexadecimal digits, the form of container and sandbox ids. */
export function newContainerId(): string {
  return randomBytes(32).toString('hex');
}

/** A small seeded generator (mulberry32) for tests that print their seed. Returns numbers in [0, 1). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
