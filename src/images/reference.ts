import { UmiakError } from '#base/errors.ts';
import { type Digest, isDigest } from './digest.ts';

/** What an image reference names; `repository` is without the registry (`library/redis`). At least one of tag and digest is there. */
export interface ImageReference {
  registry: string;
  repository: string;
  tag?: string;
  digest?: Digest;
}

const DEFAULT_REGISTRY = 'docker.io';
const REGISTRY =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?$/;
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^\w[\w.-]{0,127}$/;

/**
 * Reads `redis`, `redis:7`, `host:5000/a/b@sha256:…` with Docker's defaults: `docker.io`, `library/`, `latest`.
 * @throws Invalid with a sentence that says what is wrong with the text.
 */
export function parseReference(text: string): ImageReference {
  const refuse = (why: string): never => {
    throw new UmiakError('Invalid', `image reference ${JSON.stringify(text)}: ${why}`, { details: { kind: 'image', name: text } });
  };
  if (text === '') refuse('is empty');
  if (text.length > 512) refuse('is longer than 512 characters');
  const [named = '', digest, ...more] = text.split('@');
  if (more.length > 0) refuse('has more than one @');
  if (digest !== undefined && !isDigest(digest)) refuse(`the digest ${JSON.stringify(digest)} must be sha256: and 64 hexadecimal digits`);
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1);
  const tag = colon < 0 ? undefined : named.slice(colon + 1);
  if (tag !== undefined && !TAG.test(tag)) refuse(`the tag ${JSON.stringify(tag)} may hold up to 128 letters, digits, _, . and -`);
  const { registry, repository } = splitName(colon < 0 ? named : named.slice(0, colon));
  if (!REGISTRY.test(registry)) refuse(`${JSON.stringify(registry)} is not a registry's host[:port]`);
  if (repository === '') refuse('names no repository');
  if (repository.length > 255) refuse('the repository is longer than 255 characters');
  if (/[A-Z]/.test(repository)) refuse('the repository must be in lower case');
  if (!repository.split('/').every(component => COMPONENT.test(component)))
    refuse(`the repository ${JSON.stringify(repository)} may hold lower-case letters and digits, joined by single . _ __ - and /`);
  if (digest === undefined && colon < 0 && /^[0-9a-f]{64}$/.test(named)) refuse('is an image id, not a name');
  return {
    registry,
    repository,
    ...(tag !== undefined ? { tag } : digest === undefined ? { tag: 'latest' } : {}),
    ...(isDigest(digest) ? { digest } : {}),
  };
}

function splitName(name: string): { registry: string; repository: string } {
  const slash = name.indexOf('/');
  const first = name.slice(0, slash);
  const isRegistry = slash > 0 && (/[.:A-Z]/.test(first) || first === 'localhost');
  const registry = !isRegistry ? DEFAULT_REGISTRY : first === 'index.docker.io' ? DEFAULT_REGISTRY : first;
  const path = isRegistry ? name.slice(slash + 1) : name;
  return { registry, repository: registry === DEFAULT_REGISTRY && path !== '' && !path.includes('/') ? `library/${path}` : path };
}

/** `registry/repository`, without tag and digest. */
export function toRepositoryName({ registry, repository }: ImageReference): string {
  return `${registry}/${repository}`;
}

/** The full name, `docker.io/library/redis:7`; a digest wins over the tag beside it. */
export function toCanonicalName(reference: ImageReference): string {
  const name = toRepositoryName(reference);
  return reference.digest !== undefined ? `${name}@${reference.digest}` : `${name}:${reference.tag}`;
}

/** Docker's short form: `docker.io/library/redis:7` is `redis:7`. Takes canonical names. */
export function toFamiliarName(canonicalName: string): string {
  if (!canonicalName.startsWith('docker.io/')) return canonicalName;
  const path = canonicalName.slice('docker.io/'.length);
  return path.startsWith('library/') && path.indexOf('/', 'library/'.length) < 0 ? path.slice('library/'.length) : path;
}
