/**
 * Makes `types.gen.ts` and `protobuf.gen.json` of one proto3 package with gRPC services from protobufjs descriptors
 * (`node tools/generate-grpc.ts <protobuf.json> <package, e.g. runtime.v1> <folder>`). A row is a field's number, its JSON name, its type,
 * and what else it is: `list`, `map`, `optional` (its zero is a value). See `src/wire/protobuf-schema.ts`, which reads the table.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ProtobufTable } from '../src/wire/protobuf-schema.ts';

interface Field {
  id: number;
  type: string;
  rule?: string;
  keyType?: string;
}

interface Node {
  fields?: Record<string, Field>;
  oneofs?: Record<string, { oneof: string[] }>;
  values?: Record<string, number>;
  methods?: Record<string, { requestType: string; responseType: string; requestStream?: boolean; responseStream?: boolean }>;
  nested?: Record<string, Node>;
}

const TYPES: Record<string, string> = {
  string: 'string',
  bytes: 'Uint8Array',
  bool: 'boolean',
  double: 'number',
  int32: 'number',
  int64: 'number',
  uint32: 'number',
  uint64: 'number',
};

const [, , file, packageName, folder] = process.argv;
if (!file || !packageName || !folder) throw new Error('usage: generate-grpc.ts <protobuf.json> <package> <folder>');
let root: Node = JSON.parse(readFileSync(file, 'utf8'));
for (const part of packageName.split('.')) root = root.nested?.[part] ?? {};

const nodes = new Map<string, Node>();
collect(root, []);
const table: ProtobufTable = { messages: {}, enums: {}, services: {} };
const types: string[] = [];
for (const [name, { fields, oneofs, values, methods }] of nodes) {
  if (methods) service(name, methods);
  else if (values) {
    table.enums[name] = values;
    types.push(
      `export type ${name} = ${Object.keys(values)
        .map(each => `'${each}'`)
        .join(' | ')};`,
    );
  } else if (fields) message(name, fields, new Set(Object.values(oneofs ?? {}).flatMap(({ oneof }) => oneof)));
}
const rows = (section: Record<string, unknown>) =>
  Object.entries(section)
    .map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`)
    .join(',\n');
const sections = Object.entries(table).map(([section, content]) => `${JSON.stringify(section)}:{\n${rows(content)}\n}`);
writeFileSync(join(folder, 'protobuf.gen.json'), `{${sections.join(',\n')}}\n`);
writeFileSync(
  join(folder, 'types.gen.ts'),
  `/** The messages and services of \`${packageName}\`; made by \`tools/generate-grpc.ts\`, not by hand. What is zero may be absent. */\n\n${types.join('\n\n')}\n`,
);

function message(name: string, fields: Record<string, Field>, inOneof: ReadonlySet<string>): void {
  table.messages[name] = {};
  const lines = Object.entries(fields).map(([field, { id, type, rule, keyType }]) => {
    if (keyType && keyType !== 'string') throw new Error(`${name}.${field}: maps have string keys here`);
    const what = keyType ? 'map' : rule === 'repeated' ? 'list' : inOneof.has(field) ? 'optional' : undefined;
    const target = TYPES[type] ? type : resolveType(type, name);
    const json = camelCase(field);
    table.messages[name]![id] = [json, target, ...(what ? [what] : [])] as [string, string];
    const each = TYPES[target] ?? target;
    return `  ${json}?: ${what === 'map' ? `Record<string, ${each}>` : what === 'list' ? `${each}[]` : each} | undefined;`;
  });
  types.push(lines.length > 0 ? `export interface ${name} {\n${lines.join('\n')}\n}` : `export type ${name} = Record<string, never>;`);
}

function service(name: string, methods: NonNullable<Node['methods']>): void {
  const entries = Object.entries(methods).map(([method, { requestType, responseType, requestStream, responseStream }]) => {
    const streams = requestStream && responseStream ? 'both' : requestStream ? 'request' : responseStream ? 'response' : undefined;
    const [request, response] = [resolveType(requestType, ''), resolveType(responseType, '')];
    return { method, request, response, streams };
  });
  table.services[`${packageName}.${name}`] = Object.fromEntries(
    entries.map(({ method, request, response, streams }) => [
      method,
      [request, response, ...(streams ? [streams] : [])] as [string, string],
    ]),
  );
  const lines = entries.map(
    ({ method, request, response, streams }) =>
      `  ${method}: { request: ${request}; response: ${response}${streams ? `; streams: '${streams}'` : ''} };`,
  );
  types.push(`/** Methods of \`${packageName}.${name}\`. */\nexport interface ${name} {\n${lines.join('\n')}\n}`);
}

function collect(node: Node, scope: string[]): void {
  if (node.fields || node.values || node.methods) nodes.set(scope.join('_'), node);
  for (const [name, nested] of Object.entries(node.nested ?? {})) collect(nested, [...scope, name]);
}

/** Looks a type up from where it is named outwards. */
function resolveType(type: string, scope: string): string {
  const bare = type.replace(`.${packageName}.`, '').replaceAll('.', '_');
  for (let outer = scope.split('_'); ; outer = outer.slice(0, -1)) {
    const name = [...outer, bare].filter(Boolean).join('_');
    if (nodes.has(name)) return name;
    if (outer.length === 0) throw new Error(`no type ${type} in ${scope}`);
  }
}

/** The name in protobuf's JSON form. */
function camelCase(name: string): string {
  return name.replaceAll(/_([a-z0-9])/gi, (_, letter: string) => letter.toUpperCase());
}
