import { isObject } from '#base/json-object.ts';
import { type ImageReference, parseReference, type RegistryAuth } from '#images/index.ts';
import type { Secret } from '#kinds/secret.ts';

/**
 * The logins that Secrets hold for an image (types `kubernetes.io/dockerconfigjson` and `kubernetes.io/dockercfg`), the one for the longest
 * matching path first, each once. What in a Secret can't be read as a login is none. Pure.
 */
export function credentialsFor(image: string, secrets: readonly Secret[]): RegistryAuth[] {
  return loginsFor(parseReference(image), secrets.flatMap(entriesOf));
}

/** The same of places (`registry.example/team`) and their logins as docker's `auths` has them. Pure. */
export function loginsFor(reference: ImageReference, auths: readonly (readonly [where: string, login: unknown])[]): RegistryAuth[] {
  const matching = auths
    .filter(([where]) => isForImage(where, reference))
    .map(([where, login]) => ({ path: placeOf(where).path, auth: isObject(login) ? toAuth(login) : undefined }))
    .sort((a, b) => b.path.length - a.path.length);
  return [...new Map(matching.flatMap(({ auth }) => (auth ? [[JSON.stringify(auth), auth] as const] : []))).values()];
}

/** Whether a place, perhaps with `*` for a part of the host's name, holds an image. */
export function isForImage(where: string, { registry, repository }: ImageReference): boolean {
  const { host, path } = placeOf(where);
  return isHost(host, registry) && (path === '' || repository === path || repository.startsWith(`${path}/`));
}

function entriesOf({ type, data = {} }: Secret): [where: string, login: unknown][] {
  const key =
    type === 'kubernetes.io/dockerconfigjson' ? '.dockerconfigjson' : type === 'kubernetes.io/dockercfg' ? '.dockercfg' : undefined;
  const text = key && data[key];
  if (!text) return [];
  const config = parseObject(Buffer.from(text, 'base64').toString());
  return Object.entries(key === '.dockercfg' ? config : isObject(config.auths) ? config.auths : {});
}

/** `https://index.docker.io/v1/`, `registry:5000/team`, `*.example.com`: the host and the path below it. */
function placeOf(where: string): { host: string; path: string } {
  const [host = '', ...rest] = where.replace(/^https?:\/\//, '').split('/');
  const path = rest.join('/').replace(/^v[12](\/|$)/, '');
  return { host: /^(index|registry-1)\.docker\.io$/.test(host) ? 'docker.io' : host, path: path.replace(/\/+$/, '') };
}

/** `*` stands for a part of a name, as in certificates; the port must be the same. */
function isHost(pattern: string, host: string): boolean {
  const wanted = pattern.split('.');
  const parts = host.split('.');
  return wanted.length === parts.length && wanted.every((part, i) => glob(part).test(parts[i] ?? ''));
}

function glob(part: string): RegExp {
  return new RegExp(`^${part.replaceAll(/[^*]/g, letter => letter.replace(/[\\^$.+?()[\]{}|]/, '\\$&')).replaceAll('*', '[^:]*')}$`);
}

function toAuth({ username, password, auth, identitytoken, registrytoken }: Record<string, unknown>): RegistryAuth | undefined {
  if (typeof identitytoken === 'string' && identitytoken) return { identityToken: identitytoken };
  if (typeof registrytoken === 'string' && registrytoken) return { registryToken: registrytoken };
  if (typeof username === 'string' && username) return { username, password: typeof password === 'string' ? password : '' };
  if (typeof auth !== 'string') return undefined;
  const [, user, secret] = /^([^:]*):(.*)$/s.exec(Buffer.from(auth, 'base64').toString()) ?? [];
  return user ? { username: user, password: (secret ?? '').replace(/\0+$/, '') } : undefined;
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}
