import { UmiakError } from '#base/errors.ts';

/** Credentials for a registry: what `docker login` stores, or tokens got elsewhere. */
export type RegistryAuth = { username: string; password: string } | { identityToken: string } | { registryToken: string };

/** One challenge of a `WWW-Authenticate` header (RFC 9110, 11.6.1). */
export interface Challenge {
  /** In lower case: `bearer`, `basic`. */
  scheme: string;
  parameters: Record<string, string>;
}

/** Reads a `WWW-Authenticate` header with any number of challenges; what it can't read it leaves out. */
export function parseChallenges(header: string): Challenge[] {
  const challenges: Challenge[] = [];
  // One class for what stands between: two that may both match blanks take quadratic time.
  const token = /[\s,]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)(\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?/y;
  for (let match = token.exec(header); match !== null; match = token.exec(header)) {
    const [, name = '', assignment, quoted, bare] = match;
    const last = challenges.at(-1);
    if (assignment === undefined) challenges.push({ scheme: name.toLowerCase(), parameters: {} });
    else if (last) last.parameters[name.toLowerCase()] = quoted?.replace(/\\(.)/g, '$1') ?? bare ?? '';
  }
  return challenges;
}

/** How to answer a challenge. */
export type AuthPlan =
  | { kind: 'header'; authorization: string }
  /** Ask the token server; the distribution spec's token flow, or OAuth2 with a refresh token. */
  | { kind: 'token'; url: URL; authorization?: string; form?: Record<string, string> };

/** Chooses the answer to a registry's challenges. @throws Unauthorized when there is none. */
export function planAuth(challenges: readonly Challenge[], auth: RegistryAuth | undefined, scopes: string, what: string): AuthPlan {
  const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
  const basic = auth !== undefined && 'username' in auth ? toBasic(auth.username, auth.password) : undefined;
  if (auth !== undefined && 'registryToken' in auth) return { kind: 'header', authorization: `Bearer ${auth.registryToken}` };
  if (bearer !== undefined) {
    const { realm = '', service, scope: asked = '' } = bearer.parameters;
    const scope = mergeScopes(asked, scopes);
    if (!URL.canParse(realm) || !/^https?:$/.test(new URL(realm).protocol))
      throw new UmiakError('Unauthorized', `${what}: the registry sends to a token server with the address ${JSON.stringify(realm)}`);
    const url = new URL(realm);
    if (auth !== undefined && 'identityToken' in auth) {
      const form = {
        grant_type: 'refresh_token',
        refresh_token: auth.identityToken,
        client_id: 'umiak',
        scope,
        ...(service ? { service } : {}),
      };
      return { kind: 'token', url, form };
    }
    if (service !== undefined) url.searchParams.set('service', service);
    for (const one of scope.split(' ').filter(Boolean)) url.searchParams.append('scope', one);
    return { kind: 'token', url, ...(basic !== undefined ? { authorization: basic } : {}) };
  }
  if (challenges.some(({ scheme }) => scheme === 'basic') && basic !== undefined) return { kind: 'header', authorization: basic };
  throw new UmiakError('Unauthorized', `${what}: the registry wants a login`, {
    hint: 'Give credentials that have a right to this image: docker login.',
  });
}

/** Scopes by space (`repository:team/app:pull,push`), each resource once with all actions that either list has. */
export function mergeScopes(...lists: string[]): string {
  const actions = new Map<string, Set<string>>();
  for (const scope of lists.join(' ').split(/\s+/).filter(Boolean)) {
    const colon = scope.lastIndexOf(':');
    const resource = scope.slice(0, colon);
    actions.set(resource, new Set([...(actions.get(resource) ?? []), ...scope.slice(colon + 1).split(',')]));
  }
  return [...actions].map(([resource, its]) => `${resource}:${[...its].sort().join(',')}`).join(' ');
}

function toBasic(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}
