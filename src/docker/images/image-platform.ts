import { UmiakError } from '#base/errors.ts';
import { isObject } from '#base/json-object.ts';
import { type ImageRecord, type Platform, parsePlatform } from '#images/index.ts';
import { hostPlatform } from '#images/oci.ts';

/** Reads a `platform` of a query: JSON since 1.46, or `linux/arm64/v8`. @throws BadRequest */
export function parsePlatformQuery(text: string | null): Platform | undefined {
  if (text === null || text === '') return undefined;
  if (!text.startsWith('{')) return parseWords(text);
  const read = parseJsonText(text);
  const { os, architecture, variant } = isObject(read) ? read : {};
  if (typeof os !== 'string' || os === '' || typeof architecture !== 'string' || (variant !== undefined && typeof variant !== 'string'))
    throw new UmiakError('BadRequest', 'invalid platform: it must be JSON with os and architecture');
  return { os, architecture, ...(variant ? { variant } : {}) };
}

const ARCHITECTURES = new Set(['386', 'amd64', 'arm', 'arm64', 'ppc64le', 'riscv64', 's390x']);

/** Those that Go knows beside our own, some of them by older names. */
const OTHER_SYSTEMS = new Set([
  'aix',
  'android',
  'darwin',
  'dragonfly',
  'freebsd',
  'illumos',
  'ios',
  'js',
  'macos',
  'netbsd',
  'openbsd',
  'plan9',
  'solaris',
  'wasip1',
  'windows',
]);

/** `linux/arm64/v8`, or a system or an architecture alone: the other half is this machine's. @throws BadRequest in docker's words */
function parseWords(text: string): Platform {
  const quoted = JSON.stringify(text.slice(0, 64));
  const own = hostPlatform();
  const [word = '', ...more] = text.toLowerCase().split('/');
  if (!/^[a-z0-9_-]+$/.test(word)) throw new UmiakError('BadRequest', `${quoted} is an invalid OS component: invalid argument`);
  if (OTHER_SYSTEMS.has(word)) throw new UmiakError('BadRequest', `operating system is not supported: ${quoted}`);
  if (more.length > 0) return parsePlatform(text);
  if (word === own.os) return own;
  if (ARCHITECTURES.has(word)) return { os: own.os, architecture: word };
  throw new UmiakError('BadRequest', `${quoted}: unknown operating system or architecture: invalid argument`);
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
  throw new UmiakError(
    'NotFound',
    `image with reference ${reference} was found but its platform (${format(config)}) does not match the specified platform (${format(platform)})`,
    { details: { kind: 'image', name: reference } },
  );
}

function format({ os, architecture, variant }: Platform): string {
  return [os, architecture, variant].filter(Boolean).join('/');
}

function parseJsonText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
