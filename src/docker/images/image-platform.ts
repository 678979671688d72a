import { UmiakError } from '#base/errors.ts';
import { isObject } from '#base/json-object.ts';
import { type ImageRecord, type Platform, parsePlatform } from '#images/index.ts';
import { hostPlatform } from '#images/oci.ts';

/** Reads a `platform` of a query: JSON since 1.46, or `linux/arm64/v8`. @throws BadRequest */
export function parsePlatformQuery(text: string | null): Platform | undefined {
  if (text === null || text === '') return undefined;
  if (!text.startsWith('{')) return text.includes('/') ? parsePlatform(text) : parseWord(text);
  const read = parseJsonText(text);
  const { os, architecture, variant } = isObject(read) ? read : {};
  if (typeof os !== 'string' || os === '' || typeof architecture !== 'string' || (variant !== undefined && typeof variant !== 'string'))
    throw new UmiakError('BadRequest', 'invalid platform: it must be JSON with os and architecture');
  return { os, architecture, ...(variant ? { variant } : {}) };
}

const ARCHITECTURES = new Set(['386', 'amd64', 'arm', 'arm64', 'ppc64le', 'riscv64', 's390x']);

/** A system or an architecture alone: the other half is this machine's. */
function parseWord(text: string): Platform {
  const word = text.toLowerCase();
  const own = hostPlatform();
  if (word === own.os) return own;
  if (ARCHITECTURES.has(word)) return { os: own.os, architecture: word };
  throw new UmiakError('BadRequest', `${JSON.stringify(text.slice(0, 64))}: unknown operating system or architecture: invalid argument`);
}

/** An image here is of one platform. @throws NotFound in docker's words for another one */
export function requirePlatform({ config }: ImageRecord, platform: Platform | undefined, reference: string): void {
  if (!platform) return;
  const { os, architecture, variant } = config;
  const isIt =
    os === platform.os &&
    architecture === platform.architecture &&
    (platform.variant === undefined || platform.variant === (variant ?? platform.variant));
  if (isIt) return;
  const wanted = [platform.os, platform.architecture, platform.variant].filter(Boolean).join('/');
  throw new UmiakError('NotFound', `image with reference ${reference} was found but does not provide the specified platform (${wanted})`, {
    details: { kind: 'image', name: reference },
  });
}

function parseJsonText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
