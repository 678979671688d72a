import { createHash } from 'node:crypto';
import type { Field, TypeData } from '#kinds/schema-data.ts';
import { schemaData } from '#kinds/schema-data.ts';
import type { Context, Outcome } from './request.ts';
import type { Resources, Served } from './resources.ts';

const PATCH = 'io.k8s.apimachinery.pkg.apis.meta.v1.Patch';
const PATCH_TYPES = ['application/json-patch+json', 'application/merge-patch+json', 'application/strategic-merge-patch+json'];
const CUSTOM_PATCH_TYPES = ['application/json-patch+json', 'application/merge-patch+json', 'application/apply-patch+yaml'];
const OBJECT_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta';
const LIST_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta';
const EXTENSIONS = ['list-type', 'list-map-keys', 'map-type', 'patch-merge-key', 'patch-strategy'] as const;
/** Path suffix, HTTP method, and the verb that allows it. */
const OPERATIONS = [
  ['', 'get', 'list'],
  ['', 'post', 'create'],
  ['/{name}', 'get', 'get'],
  ['/{name}', 'put', 'update'],
  ['/{name}', 'patch', 'patch'],
  ['/{name}', 'delete', 'delete'],
] as const;

/** The type that kubectl asks for; under its old name, which it asks for too, `@` stood where `.` is now. */
const V2_PROTOBUF = 'application/com.github.proto-openapi.spec.v2';

/**
 * `/openapi/v2` without definitions, in protobuf: kubectl checks a `kind: List` by it, whatever v3 says, and leaves what it does not
 * find to the server's own `fieldValidation`. `swagger: "2.0"`, `info: { title, version }`.
 */
const V2_OUTCOME: Outcome = {
  type: 'bytes',
  status: 200,
  bytes: Buffer.from('\x0a\x032.0\x12\x15\x0a\x0aKubernetes\x12\x07v1.36.3', 'latin1'),
  contentType: `${V2_PROTOBUF}.v1.0+protobuf`,
};

/** `/openapi/v3`: one document a group version, made from the schema when first asked for. Its address bears a hash, so clients keep it. */
export class OpenApi {
  readonly #resources: Resources;
  readonly #documents = new Map<string, Buffer>();
  #roots: { generation: number; byRoot: Map<string, Served[]> } | undefined;
  #hash: string | undefined;

  constructor(resources: Resources) {
    this.#resources = resources;
  }

  /** What is served at the moment, by the path of its group version. */
  get #byRoot(): Map<string, Served[]> {
    const { generation, all } = this.#resources;
    if (this.#roots?.generation !== generation) {
      const byRoot = Map.groupBy(all, ({ resource: { group, version } }) => (group ? `apis/${group}/${version}` : `api/${version}`));
      this.#roots = { generation, byRoot };
    }
    return this.#roots.byRoot;
  }

  /** Undefined for other paths. */
  answer(path: string, { query, request }: Context): Outcome | undefined {
    if (path === '/openapi/v2') return request.headers.accept?.includes(V2_PROTOBUF) ? V2_OUTCOME : undefined;
    if (path === '/openapi/v3') {
      const paths = Object.fromEntries(
        [...this.#byRoot].map(([root, served]) => [root, { serverRelativeURL: `/openapi/v3/${root}?hash=${this.#hashOf(served)}` }]),
      );
      return { type: 'value', status: 200, value: { paths } };
    }
    if (!path.startsWith('/openapi/v3/')) return undefined;
    const root = path.slice('/openapi/v3/'.length);
    const served = this.#byRoot.get(root);
    if (!served) return undefined;
    const etag = `"${this.#hashOf(served)}"`;
    const headers: Record<string, string> = { etag, ...(query.has('hash') && { 'cache-control': 'public, max-age=31536000, immutable' }) };
    if (request.headers['if-none-match'] === etag)
      return { type: 'bytes', status: 304, bytes: Buffer.alloc(0), contentType: 'application/json', headers };
    let document = this.#documents.get(root);
    if (!document) {
      document = Buffer.from(JSON.stringify(toDocument(root, served)));
      // Those of custom resources are large, many and seldom asked for: made each time.
      if (!served.some(({ kind }) => kind.openApi)) this.#documents.set(root, document);
    }
    return { type: 'bytes', status: 200, bytes: document, contentType: 'application/json', headers };
  }

  #hashOf(served: Served[]): string {
    const revisions = served.flatMap(({ kind }) => kind.openApi?.revision ?? []);
    if (revisions.length === 0) return this.#schemaHash();
    return createHash('sha256')
      .update([this.#schemaHash(), ...revisions].join(' '))
      .digest('hex')
      .slice(0, 32);
  }

  #schemaHash(): string {
    this.#hash ??= createHash('sha256').update(JSON.stringify(schemaData())).digest('hex').slice(0, 32);
    return this.#hash;
  }
}

/** kubectl looks at a kind's PATCH for `fieldValidation`, `dryRun` and a strategic merge body; where it misses one it asks for /openapi/v2. */
function toDocument(root: string, served: Served[]): object {
  const paths: Record<string, Record<string, object>> = {};
  const schemas: Record<string, object> = {};
  for (const { resource, kind } of served) {
    const listType = listTypeOf(kind.type);
    for (const name of [kind.type, listType, PATCH]) collect(name, schemas);
    if (kind.openApi) collectCustom(kind, kind.openApi.schema(), schemas);
    for (const [suffix, method, verb] of OPERATIONS) {
      if (!resource.verbs.includes(verb)) continue;
      const path = `/${root}/${resource.namespaced ? 'namespaces/{namespace}/' : ''}${resource.plural}${suffix}`;
      paths[path] ??= {};
      const types = method !== 'patch' ? ['application/json'] : kind.openApi ? CUSTOM_PATCH_TYPES : PATCH_TYPES;
      paths[path][method] = toOperation(resource, method, verb, verb === 'list' ? listType : kind.type, kind.type, types);
    }
  }
  return { openapi: '3.0.0', info: { title: 'Kubernetes', version: 'v1.36.3' }, paths, components: { schemas } };
}

function toOperation(
  { group, version, kind }: Served['resource'],
  method: string,
  verb: string,
  answered: string,
  sent: string,
  types: readonly string[],
): object {
  const isWrite = method === 'post' || method === 'put' || method === 'patch';
  const body = refTo(method === 'patch' ? PATCH : sent);
  const parameters = ['pretty', ...(isWrite ? ['dryRun', 'fieldManager', 'fieldValidation'] : method === 'delete' ? ['dryRun'] : [])];
  return {
    operationId: `${verb}${group.replaceAll('.', '')}${version}${kind}`,
    'x-kubernetes-action': verb === 'create' ? 'post' : verb === 'update' ? 'put' : verb,
    'x-kubernetes-group-version-kind': { group, version, kind },
    parameters: parameters.map(name => ({ name, in: 'query', schema: { type: 'string' } })),
    ...(isWrite && { requestBody: { content: Object.fromEntries(types.map(type => [type, { schema: body }])) } }),
    responses: { 200: { description: 'OK', content: { 'application/json': { schema: refTo(answered) } } } },
  };
}

/** A custom resource's own type, the type of its lists, and what both refer to. */
function collectCustom({ type, resource: { group, version, kind } }: Served['kind'], schema: object, found: Record<string, object>): void {
  found[type] = schema;
  for (const name of [OBJECT_META, LIST_META]) collect(name, found);
  found[listTypeOf(type)] = {
    type: 'object',
    required: ['items'],
    properties: {
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: { allOf: [refTo(LIST_META)] },
      items: { type: 'array', items: { allOf: [refTo(type)] } },
    },
    'x-kubernetes-group-version-kind': [{ group, version, kind: `${kind}List` }],
  };
}

function collect(name: string, found: Record<string, object>): void {
  const type = schemaData().types[name];
  if (!type || found[name]) return;
  found[name] = toComponent(type);
  const follow = ({ ref, items, values }: Field): void => {
    if (ref) collect(ref, found);
    if (items) follow(items);
    if (values) follow(values);
  };
  for (const field of Object.values(type.fields ?? {})) follow(field);
}

function toComponent(type: TypeData): object {
  const { fields, required, gvk } = type;
  const groupVersionKind = gvk && { 'x-kubernetes-group-version-kind': gvk.map(toGvk) };
  if (!fields) return { ...toSchema(type as Field), ...groupVersionKind };
  const properties = Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, toSchema(field)]));
  const mapType = type['map-type'] && { 'x-kubernetes-map-type': type['map-type'] };
  return { type: 'object', properties, ...(required && { required }), ...mapType, ...groupVersionKind };
}

function toSchema(field: Field): object {
  const extensions: Record<string, unknown> = {};
  for (const name of EXTENSIONS) if (field[name] !== undefined) extensions[`x-kubernetes-${name}`] = field[name];
  return { ...shapeOf(field), ...(field.default !== undefined && { default: field.default }), ...extensions };
}

function shapeOf({ type, format, ref, items, values }: Field): object {
  if (ref) return { allOf: [refTo(ref)] }; // a bare $ref may have nothing beside it
  if (items) return { type: 'array', items: toSchema(items) };
  if (values) return { type: 'object', additionalProperties: toSchema(values) };
  if (type === 'int-or-string') return { ...(format && { format }), oneOf: [{ type: 'integer' }, { type: 'string' }] };
  return { ...(type && { type }), ...(format && { format }) };
}

function refTo(name: string): object {
  return { $ref: `#/components/schemas/${name}` };
}

function listTypeOf(type: string): string {
  return `${type}List`;
}

/** `apps/v1/Deployment` or `v1/Pod`. */
function toGvk(text: string): { group: string; version: string; kind: string } {
  const [kind = '', version = '', group = ''] = text.split('/').reverse();
  return { group, version, kind };
}
