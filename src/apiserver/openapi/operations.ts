import type { Subresource } from '#kinds/kind.ts';
import { typeNameOf } from '#kinds/schema-data.ts';
import type { Served } from '../resources.ts';
import { listTypeOf } from './schemas.ts';

/** One operation of one path, in neither version's words. */
export interface Operation {
  path: string;
  method: 'get' | 'put' | 'post' | 'delete' | 'patch';
  /** Upstream's word: `list`, `post`, `deletecollection`, `connect`, … */
  action: string;
  id: string;
  tag: string;
  gvk: { group: string; version: string; kind: string };
  query: readonly string[];
  /** Placeholders of the path. */
  places: readonly string[];
  /** Types by name: what is sent and what is answered. */
  body: string | undefined;
  answer: string | undefined;
  consumes: readonly string[];
  produces: readonly string[];
  /** What besides 200 means that it worked. */
  codes: readonly number[];
}

const META = 'io.k8s.apimachinery.pkg.apis.meta.v1.';
const PLAIN = ['application/json', 'application/yaml', 'application/vnd.kubernetes.protobuf'];
const STREAMS = [...PLAIN, 'application/json;stream=watch', 'application/vnd.kubernetes.protobuf;stream=watch'];
const CUSTOM = ['application/json', 'application/yaml'];
const PATCHES = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
  'application/apply-patch+yaml',
];
const LISTING = [
  'allowWatchBookmarks',
  'continue',
  'fieldSelector',
  'labelSelector',
  'limit',
  'resourceVersion',
  'resourceVersionMatch',
  'sendInitialEvents',
  'timeoutSeconds',
  'watch',
];
const WRITING = ['dryRun', 'fieldManager', 'fieldValidation'];
const DELETING = [
  'dryRun',
  'gracePeriodSeconds',
  'ignoreStoreReadErrorWithClusterBreakingPotential',
  'orphanDependents',
  'propagationPolicy',
];

/** What may be asked in a query: the type and what it is about. */
export const QUERY: Readonly<Record<string, readonly [type: 'string' | 'integer' | 'boolean', about: string]>> = {
  pretty: ['string', 'Whether the answer is indented.'],
  allowWatchBookmarks: ['boolean', 'Whether a watch may get bookmarks, which tell how far it has come.'],
  continue: ['string', 'The token that the page before came with.'],
  fieldSelector: ['string', 'Chooses objects by their fields.'],
  labelSelector: ['string', 'Chooses objects by their labels.'],
  limit: ['integer', 'The most objects of one page.'],
  resourceVersion: ['string', 'The version of the data that is asked for.'],
  resourceVersionMatch: ['string', 'How resourceVersion is meant: Exact or NotOlderThan.'],
  sendInitialEvents: ['boolean', 'Whether a watch begins with all that is there.'],
  timeoutSeconds: ['integer', 'How long the call lasts at most.'],
  watch: ['boolean', 'Whether changes are sent as they happen.'],
  dryRun: ['string', 'With All nothing is stored.'],
  fieldManager: ['string', 'Who is named as the owner of the fields that are set.'],
  fieldValidation: ['string', 'What unknown and duplicate fields lead to: Ignore, Warn or Strict.'],
  force: ['boolean', 'Whether an apply takes fields from their owners.'],
  gracePeriodSeconds: ['integer', 'How long the object may take to end.'],
  ignoreStoreReadErrorWithClusterBreakingPotential: ['boolean', 'Whether an object that can not be read is deleted all the same.'],
  orphanDependents: ['boolean', 'Deprecated: use propagationPolicy.'],
  propagationPolicy: ['string', 'What happens to dependents: Orphan, Background or Foreground.'],
};

/** All operations of one served kind and its subresources. */
export function* operationsOf({ resource, kind }: Served): Generator<Operation> {
  const { group, version, plural, namespaced, verbs, subresources = [] } = resource;
  const root = group ? `/apis/${group}/${version}` : `/api/${version}`;
  const within = namespaced ? '/namespaces/{namespace}' : '';
  const gvk = { group, version, kind: resource.kind };
  const [collection, item] = [`${root}${within}/${plural}`, `${root}${within}/${plural}/{name}`];
  const scope = namespaced ? 'Namespaced' : '';
  const named = `${capital(group.replace(/\.k8s\.io$/, '')) || 'Core'}${capital(version)}`;
  const list = listTypeOf(kind.type);
  const isCustom = kind.openApi !== undefined;
  const plain = isCustom ? CUSTOM : PLAIN;
  const make = (operation: Partial<Operation> & Pick<Operation, 'path' | 'method' | 'action' | 'id'>): Operation => ({
    gvk,
    tag: `${group === '' ? 'core' : lower(named.slice(0, -version.length))}_${version}`,
    query: [],
    places: operation.path.match(/(?<=\{)\w+/g) ?? [],
    body: undefined,
    answer: kind.type,
    consumes: plain,
    produces: plain,
    codes: [],
    ...operation,
  });
  if (verbs.includes('list')) {
    const listing = { method: 'get', action: 'list', query: LISTING, answer: list, produces: isCustom ? CUSTOM : STREAMS } as const;
    yield make({ ...listing, path: collection, id: `list${named}${scope}${resource.kind}` });
    if (namespaced) yield make({ ...listing, path: `${root}/${plural}`, id: `list${named}${resource.kind}ForAllNamespaces` });
  }
  if (verbs.includes('create'))
    yield make({
      path: collection,
      method: 'post',
      action: 'post',
      id: `create${named}${scope}${resource.kind}`,
      query: WRITING,
      body: kind.type,
      codes: [201, 202],
    });
  if (verbs.includes('deletecollection')) {
    const query = [...new Set([...DELETING, ...LISTING.filter(name => name !== 'watch' && name !== 'allowWatchBookmarks')])];
    const id = `delete${named}Collection${scope}${resource.kind}`;
    yield make({
      path: collection,
      method: 'delete',
      action: 'deletecollection',
      id,
      query,
      body: `${META}DeleteOptions`,
      answer: `${META}Status`,
    });
  }
  yield* itemOperations(item, verbs, `${named}${scope}${resource.kind}`, kind.type, isCustom, make);
  if (verbs.includes('delete')) {
    const id = `delete${named}${scope}${resource.kind}`;
    yield make({
      path: item,
      method: 'delete',
      action: 'delete',
      id,
      query: DELETING,
      body: `${META}DeleteOptions`,
      answer: `${META}Status`,
      codes: [202],
    });
  }
  for (const subresource of subresources)
    yield* subresourceOperations(subresource, item, `${named}${scope}${resource.kind}`, isCustom, kind.type, gvk, make);
}

type Make = (operation: Partial<Operation> & Pick<Operation, 'path' | 'method' | 'action' | 'id'>) => Operation;

function* itemOperations(
  path: string,
  verbs: readonly string[],
  name: string,
  type: string | undefined,
  isCustom: boolean,
  make: Make,
): Generator<Operation> {
  if (verbs.includes('get')) yield make({ path, method: 'get', action: 'get', id: `read${name}`, answer: type });
  if (verbs.includes('update'))
    yield make({ path, method: 'put', action: 'put', id: `replace${name}`, query: WRITING, body: type, answer: type, codes: [201] });
  if (!verbs.includes('patch')) return;
  const consumes = isCustom ? PATCHES.filter(patch => !patch.includes('strategic')) : PATCHES;
  yield make({
    path,
    method: 'patch',
    action: 'patch',
    id: `patch${name}`,
    query: [...WRITING, 'force'],
    body: `${META}Patch`,
    answer: type,
    consumes,
    codes: [201],
  });
}

function* subresourceOperations(
  { name, group, version, kind, verbs }: Subresource,
  item: string,
  owner: string,
  isCustom: boolean,
  ownType: string,
  own: Operation['gvk'],
  make: Make,
): Generator<Operation> {
  const path = `${item}/${name}`;
  const gvk = { group: group ?? own.group, version: version ?? own.version, kind };
  const type = kind === own.kind ? ownType : typeNameOf(`${gvk.group ? `${gvk.group}/` : ''}${gvk.version}/${kind}`);
  const of: Make = operation => make({ gvk, ...operation });
  const id = `${owner}${capital(name)}`;
  if (['exec', 'attach', 'portforward', 'proxy'].includes(name)) {
    for (const method of ['get', 'post'] as const)
      yield of({
        path,
        method,
        action: 'connect',
        id: `connect${capital(method)}${id}`,
        answer: undefined,
        consumes: ['*/*'],
        produces: ['*/*'],
      });
    return;
  }
  if (name === 'log') {
    yield of({ path, method: 'get', action: 'get', id: `read${id}`, answer: undefined, produces: ['text/plain', ...PLAIN] });
    return;
  }
  yield* itemOperations(path, verbs, id, type, isCustom, of);
  if (verbs.includes('create'))
    yield of({ path, method: 'post', action: 'post', id: `create${id}`, query: WRITING, body: type, answer: type, codes: [201, 202] });
}

/** `rbac.authorization` becomes `RbacAuthorization`. */
function capital(text: string): string {
  return text.replaceAll(/(?:^|[.-])([a-z])/g, (_all, letter: string) => letter.toUpperCase());
}

function lower(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}
