/**
 * Makes `src/apiserver/protobuf/protobuf.gen.json` from protobufjs descriptors of the Kubernetes API, our schema, and the list of
 * fields that are pointers in Go (`node tools/generate-protobuf.ts <protobuf.json> <pointers.txt>`; the list by `go run
 * tools/protobuf-pointers.go <folders of k8s.io/api, …>`). A row is a field's number, its JSON name, its type, and what else it is:
 * `list`, `map`, `optional` (its zero is a value), `inline` (its fields stand in the JSON object around it).
 */
import { readFileSync, writeFileSync } from 'node:fs';

interface Message {
  fields?: Record<string, { id: number; type: string; rule?: string; keyType?: string }>;
  nested?: Record<string, Message>;
}

const SCALARS = new Set(['string', 'bytes', 'bool', 'int32', 'int64', 'uint32', 'uint64', 'double']);
const [, , file, pointersFile] = process.argv;
if (!file || !pointersFile) throw new Error('usage: generate-protobuf.ts <protobuf.json> <pointers.txt>');
const pointers = new Set(readFileSync(pointersFile, 'utf8').split('\n'));
const schema: { types: Record<string, { fields?: Record<string, object> }> } = JSON.parse(
  readFileSync('src/kinds/schema.gen.json', 'utf8'),
);

const messages = new Map<string, { scope: string[]; message: Message }>();
collect(JSON.parse(readFileSync(file, 'utf8')), []);

const rows: string[] = [];
const queue = Object.keys(schema.types).flatMap(name => [name, `${name}List`].filter(each => messages.has(each)));
const META = 'io.k8s.apimachinery.pkg.apis.meta.v1.';
queue.push('io.k8s.apimachinery.pkg.runtime.Unknown', 'io.k8s.api.apidiscovery.v2.APIGroupDiscoveryList');
for (const kind of ['WatchEvent', 'PartialObjectMetadata', 'PartialObjectMetadataList', 'APIGroupList', 'APIResourceList', 'APIVersions'])
  queue.push(META + kind);
const seen = new Set<string>();
for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
  const found = messages.get(name);
  if (!found || seen.has(name)) continue;
  seen.add(name);
  const fields: Record<string, string[]> = {};
  for (const [field, { id, type, rule, keyType }] of Object.entries(found.message.fields ?? {})) {
    const target = SCALARS.has(type) ? type : resolveType(type, found.scope);
    if (!SCALARS.has(type)) queue.push(target);
    const json = jsonName(name, field);
    const kind = keyType ? 'map' : rule === 'repeated' ? 'list' : isInline(name, field) ? 'inline' : undefined;
    const optional = !kind && pointers.has(`${name}.${json}`) ? 'optional' : undefined;
    fields[id] = [json, target, ...(kind ? [kind] : optional ? [optional] : [])];
  }
  rows.push(`${JSON.stringify(name)}:${JSON.stringify(fields)}`);
}
writeFileSync('src/apiserver/protobuf/protobuf.gen.json', `{\n${rows.sort().join(',\n')}\n}\n`);

function collect(message: Message, scope: string[]): void {
  if (message.fields) messages.set(schemaName(scope), { scope, message });
  for (const [name, nested] of Object.entries(message.nested ?? {})) collect(nested, [...scope, name]);
}

/** Where Go embeds a struct, the wire has a message and JSON has its fields. */
function isInline(type: string, field: string): boolean {
  const known = schema.types[type]?.fields;
  return known !== undefined && !known[jsonName(type, field)] && messages.get(type)?.message.fields?.[field]?.rule !== 'repeated';
}

/** JSON spells a few names otherwise: `$ref`, `x-kubernetes-list-type`, `uid`. */
function jsonName(type: string, field: string): string {
  const known = schema.types[type]?.fields;
  if (!known || known[field]) return field;
  const dashed = field
    .replace(/^xKubernetes/, 'X-kubernetes')
    .replaceAll(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)
    .slice(1);
  const plain = field.toLowerCase();
  return [`$${field}`, dashed, ...Object.keys(known).filter(name => name.toLowerCase() === plain)].find(name => known[name]) ?? field;
}

/** The schema calls `k8s.io.api.core.v1.Pod` `io.k8s.api.core.v1.Pod`. */
function schemaName([k8s, io, ...rest]: string[]): string {
  return [io, k8s, ...rest]
    .join('.')
    .replace('apiextensions_apiserver', 'apiextensions-apiserver')
    .replace('kube_aggregator', 'kube-aggregator');
}

function resolveType(type: string, scope: string[]): string {
  if (type.startsWith('.')) return schemaName(type.slice(1).split('.'));
  for (let depth = scope.length; depth >= 0; depth--) {
    const name = schemaName([...scope.slice(0, depth), ...type.split('.')]);
    if (messages.has(name)) return name;
  }
  throw new Error(`no message ${type} in ${scope.join('.')}`);
}
