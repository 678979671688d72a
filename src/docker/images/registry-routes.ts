import { UmiakError } from '#base/errors.ts';
import { isObject } from '#base/json-object.ts';
import { parseReference } from '#images/index.ts';
import { parseFilters } from '../filters.ts';
import { type DockerRequest, type Route, readJson, sendJson } from '../request.ts';
import { findHere, mergeFound, orElseHere, parseLimit, parseSearchTerm } from './image-search.ts';
import { parseAuthConfig, parseRegistryAuth } from './registry-auth-header.ts';

/** What docker asks registries besides images. */
export const registryRoutes: readonly Route[] = [
  ['GET', /^\/images\/search$/, search],
  ['GET', /^\/distribution\/(.+)\/json$/, distribution],
  ['POST', /^\/auth$/, login, { readsBody: true }],
];

/** `docker search`: names of the registry that the term names, or Docker Hub, and of this machine. */
async function search({ context: { images }, query, incoming, response, signal }: DockerRequest): Promise<void> {
  const term = query.get('term') ?? '';
  if (term === '' || term.length > 256) throw new UmiakError('BadRequest', 'term must say what to look for');
  const filters = parseFilters(query.get('filters'), ['is-official', 'is-automated', 'stars']);
  const limit = parseLimit(query.get('limit'));
  const asked = parseSearchTerm(term);
  const here = findHere(await images.list(), asked);
  const auth = parseRegistryAuth(incoming.headers['x-registry-auth']);
  const questions = await images.registries();
  const remote = await questions.search(asked.registry, asked.term, limit, { auth, signal }).catch(orElseHere(here));
  sendJson(response, 200, mergeFound(remote, here, filters, limit));
}

/** What a registry has under a name. */
async function distribution({ context: { images }, name, incoming, response, signal }: DockerRequest): Promise<void> {
  const auth = parseRegistryAuth(incoming.headers['x-registry-auth']);
  const questions = await images.registries();
  const { descriptor, platforms } = await questions.inspect(parseReference(name), { auth, signal });
  sendJson(response, 200, { Descriptor: descriptor, Platforms: platforms });
}

/** `docker login`: whether the registry takes the credentials. */
async function login({ context: { images }, incoming, response, signal }: DockerRequest): Promise<void> {
  const body = await readJson(incoming, 64 << 10);
  if (!isObject(body)) throw new UmiakError('BadRequest', 'invalid JSON: the body must be an object');
  const auth = parseAuthConfig(body);
  if (!auth) throw new UmiakError('BadRequest', 'username and password, or identitytoken, must be given');
  const questions = await images.registries();
  const { identityToken = '' } = await questions.login(toRegistry(body.serveraddress), auth, { signal });
  sendJson(response, 200, { Status: 'Login Succeeded', IdentityToken: identityToken });
}

/** `https://index.docker.io/v1/` and nothing are Docker Hub; others are hosts, with or without a scheme and a path. */
function toRegistry(address: unknown): string {
  const text = typeof address === 'string' ? address : '';
  const host = text.replace(/^https?:\/\//, '').replace(/\/.*$/, '');
  if (host === '' || host === 'index.docker.io' || host === 'registry-1.docker.io') return 'docker.io';
  if (!/^[A-Za-z0-9.:[\]-]{1,255}$/.test(host)) throw new UmiakError('BadRequest', 'serveraddress is no registry');
  return host;
}
