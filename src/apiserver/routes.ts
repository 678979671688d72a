import { UmiakError } from '#base/errors.ts';
import type { PathRoute, Route, Verb } from './request.ts';
import { type Resources, subresourceOf } from './resources.ts';
import { badRequest } from './status.ts';

const VERB_OF_METHOD: Record<string, Verb> = { GET: 'get', HEAD: 'get', POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' };

/** Subresources of a namespace itself; any other word after its name is a resource within it. */
const NAMESPACE_SUBRESOURCES = new Set(['status', 'finalize']);

/**
 * Finds out what a request is for. Paths under `/api` and `/apis` that lead deeper than a group version are resources; after the word `watch`,
 * as clients of old have it, they are watched. @throws `NotFound`
 */
export function routeOf(method: string, url: string, resources: Resources): { route: Route; query: URLSearchParams } {
  const mark = url.indexOf('?');
  const path = mark < 0 ? url : url.slice(0, mark);
  const query = mark < 0 ? EMPTY : new URLSearchParams(url.slice(mark + 1));
  const words = path.split('/');
  const verb = VERB_OF_METHOD[method] ?? (method === 'OPTIONS' && words.includes('proxy') ? 'create' : undefined);
  const isCore = words[1] === 'api' && words.length > 3 && words[3] !== '';
  const isGroup = words[1] === 'apis' && words.length > 4 && words[4] !== '';
  if (!isCore && !isGroup) return { route: { type: 'path', path, verb: method.toLowerCase() }, query };
  if (!verb) throw methodNotAllowed(method);

  const [group, version] = isCore ? ['', words[2]!] : [words[2]!, words[3]!];
  const rest = words.slice(isCore ? 3 : 4).map(decode);
  const isOldWatch = rest[0] === 'watch' && rest.length > 1 && method === 'GET';
  if (isOldWatch) rest.shift();
  let namespace = '';
  const nested = rest[0] === 'namespaces' && rest.length > 2 && rest[2] !== '' && !(NAMESPACE_SUBRESOURCES.has(rest[2]!) && group === '');
  if (nested) {
    namespace = rest[1]!;
    rest.splice(0, 2);
  }
  const [plural = '', name = '', subresource = '', ...deeper] = rest;
  const served = resources.find(group, version, plural);
  if (!served || (subresource && !subresourceOf(served, subresource))) throw noSuchResource();
  if (method === 'OPTIONS' && subresource !== 'proxy') throw methodNotAllowed(method);
  if (served.resource.namespaced && !namespace && name) throw noSuchResource();
  if (!served.resource.namespaced && nested) throw noSuchResource();
  const route: Route = { type: 'resource', served, verb, namespace, name, subresource, rest: deeper.join('/') };
  if (isOldWatch && !subresource) route.verb = 'watch';
  else if (!name && verb === 'get') route.verb = query === EMPTY || !isTrue(query.get('watch')) ? 'list' : 'watch';
  else if (name && verb === 'get' && !subresource && isTrue(query.get('watch'))) route.verb = 'watch';
  else if (!name && verb === 'delete') route.verb = 'deletecollection';
  checkAllowed(route.verb, subresource ? (subresourceOf(served, subresource)?.verbs ?? []) : served.resource.verbs, route);
  return { route, query };
}

/** What a path would be about if its resource were served: who may use that learns that it is not there, others that they may not. */
export function unservedOf(method: string, path: string): PathRoute['unserved'] {
  const words = path.split('/');
  const verb = VERB_OF_METHOD[method];
  const isCore = words[1] === 'api';
  const rest = words.slice(isCore ? 3 : 4);
  if (!verb || (!isCore && words[1] !== 'apis') || !rest[0]) return undefined;
  const [group = '', version = ''] = isCore ? ['', words[2]] : words.slice(2, 4);
  const namespace = rest[0] === 'namespaces' && rest[2] ? (rest.splice(0, 2)[1] ?? '') : '';
  const [resource = '', name = '', subresource = ''] = rest;
  const many: Partial<Record<Verb, Verb>> = { get: 'list', delete: 'deletecollection' };
  return { verb: name ? verb : (many[verb] ?? verb), group, version, resource, subresource, namespace, name };
}

function checkAllowed(verb: Verb, verbs: string[], route: { name: string; subresource: string; rest: string }): void {
  const needsName = verb === 'update' || verb === 'patch';
  const refusesName = verb === 'create' && route.name && !route.subresource;
  const isConnect = ['exec', 'attach', 'portforward', 'proxy', 'log'].includes(route.subresource);
  if (!isConnect && ((needsName && !route.name) || refusesName || !verbs.includes(verb) || route.rest))
    throw new UmiakError('MethodNotAllowed', 'the server does not allow this method on the requested resource');
}

function methodNotAllowed(method: string): UmiakError {
  return new UmiakError('MethodNotAllowed', `the server does not allow this method on the requested resource: ${method.slice(0, 20)}`);
}

export function noSuchResource(): UmiakError {
  return new UmiakError('NotFound', 'the server could not find the requested resource');
}

/** Kubernetes' reading of boolean query parameters: present without a value is true. */
export function isTrue(value: string | null): boolean {
  return value !== null && value !== '0' && value.toLowerCase() !== 'false';
}

function decode(word: string): string {
  if (!word.includes('%')) return word;
  try {
    return decodeURIComponent(word);
  } catch {
    throw badRequest('the path of the request is not properly escaped');
  }
}

const EMPTY = new URLSearchParams();
