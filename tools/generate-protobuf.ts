/**
 * Makes `src/apiserver/protobuf.gen.json` from protobufjs descriptors of the Kubernetes API and our schema
 * (`node tools/generate-protobuf.ts <protobuf.json>`): field numbers of the types that are served, nothing else.
 */
import { readFileSync, writeFileSync } from 'node:fs';

interface Message {
  fields?: Record<string, { id: number; type: string; rule?: string; keyType?: string }>;
  nested?: Record<string, Message>;
}

const SCALARS = new Set(['string', 'bytes', 'bool', 'int32', 'int64', 'uint32', 'uint64', 'double']);
const file = process.argv[2];
if (!file) throw new Error('usage: generate-protobuf.ts <protobuf.json>');
const schema: { types: Record<string, object> } = JSON.parse(readFileSync('src/kinds/schema.gen.json', 'utf8'));

const messages = new Map<string, { scope: string[]; message: Message }>();
collect(JSON.parse(readFileSync(file, 'utf8')), []);

const rows: string[] = [];
const queue = Object.keys(schema.types).filter(name => messages.has(name));
queue.push('io.k8s.apimachinery.pkg.runtime.Unknown');
const seen = new Set<string>();
for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
  const found = messages.get(name);
  if (!found || seen.has(name)) continue;
  seen.add(name);
  const fields: Record<string, string[]> = {};
  for (const [field, { id, type, rule, keyType }] of Object.entries(found.message.fields ?? {})) {
    const target = SCALARS.has(type) ? type : resolveType(type, found.scope);
    if (!SCALARS.has(type)) queue.push(target);
    fields[id] = [field, target, ...(keyType ? ['map'] : rule === 'repeated' ? ['list'] : [])];
  }
  rows.push(`${JSON.stringify(name)}:${JSON.stringify(fields)}`);
}
writeFileSync('src/apiserver/protobuf.gen.json', `{\n${rows.sort().join(',\n')}\n}\n`);

function collect(message: Message, scope: string[]): void {
  if (message.fields) messages.set(schemaName(scope), { scope, message });
  for (const [name, nested] of Object.entries(message.nested ?? {})) collect(nested, [...scope, name]);
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
