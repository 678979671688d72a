import { createHash } from 'node:crypto';
import { DESCRIPTIONS } from '#kinds/descriptions.ts';
import { schemaData } from '#kinds/schema-data.ts';
import type { Served } from '../resources.ts';
import { inSlices } from '../slices.ts';
import { type Operation, operationsOf, QUERY } from './operations.ts';
import { type Dialect, listTypeOf, refTo, toListSchema, toTypeSchema, toV2Schema, typesFrom } from './schemas.ts';
import { encodeDefinition, encodeDocument, encodePath } from './v2-protobuf.ts';

/** Characters of a piece of a document. */
const PIECE = 64 << 10;
const INFO = { title: 'Kubernetes', version: 'v1.36.3' };
const META = 'io.k8s.apimachinery.pkg.apis.meta.v1.';
/** What operations and lists refer to beside the kinds. */
const SHARED = ['ObjectMeta', 'ListMeta', 'Status', 'DeleteOptions'].map(name => META + name);

type Part = { name: string; value: object };

/** Changes with what the documents of built-in kinds are made from. */
export function sourceHash(): string {
  return createHash('sha256').update(JSON.stringify(schemaData())).update(DESCRIPTIONS).digest('hex').slice(0, 32);
}

/** `/openapi/v3/…`: the document of one group version, in pieces. Others get their turn while it is made. */
export async function* makeV3(served: readonly Served[]): AsyncGenerator<Buffer> {
  yield Buffer.from(`{"openapi":"3.0.0","info":${JSON.stringify(INFO)},"paths":{`);
  yield* jsonOf(pathsOf(served, 'v3'));
  yield Buffer.from('},"components":{"schemas":{');
  yield* jsonOf(schemasOf(served, 'v3'));
  yield Buffer.from('}}}');
}

/** `/openapi/v2` of everything served, as JSON. */
export async function* makeV2(served: readonly Served[]): AsyncGenerator<Buffer> {
  yield Buffer.from(`{"swagger":"2.0","info":${JSON.stringify(INFO)},"paths":{`);
  yield* jsonOf(pathsOf(served, 'v2'));
  yield Buffer.from('},"definitions":{');
  yield* jsonOf(schemasOf(served, 'v2'));
  yield Buffer.from('}}');
}

/** The same in protobuf. */
export async function* makeV2Protobuf(served: readonly Served[]): AsyncGenerator<Buffer> {
  const paths: Buffer[] = [];
  for await (const { name, value } of inSlices(pathsOf(served, 'v2'))) paths.push(encodePath(name, value));
  const definitions: Buffer[] = [];
  for await (const { name, value } of inSlices(schemasOf(served, 'v2'))) definitions.push(encodeDefinition(name, value));
  yield* inSlices(encodeDocument(INFO, paths, definitions));
}

async function* jsonOf(parts: Iterable<Part>): AsyncGenerator<Buffer> {
  let text = '';
  let comma = '';
  for await (const { name, value } of inSlices(parts)) {
    text += `${comma}${JSON.stringify(name)}:${JSON.stringify(value)}`;
    comma = ',';
    if (text.length < PIECE) continue;
    yield Buffer.from(text);
    text = '';
  }
  yield Buffer.from(text);
}

function* schemasOf(served: readonly Served[], dialect: Dialect): Generator<Part> {
  const roots = new Set(SHARED);
  for (const each of served) {
    const { kind } = each;
    roots.add(kind.type);
    for (const { body, answer } of operationsOf(each)) for (const name of [body, answer]) if (name) roots.add(name);
    if (kind.resource.verbs.includes('list')) yield { name: listTypeOf(kind.type), value: toListSchema(kind, dialect) };
    if (!kind.openApi) continue;
    const schema = kind.openApi.schema();
    yield { name: kind.type, value: dialect === 'v2' ? toV2Schema(schema as Record<string, unknown>) : schema };
  }
  yield { name: `${META}Patch`, value: { description: 'A change in one of the forms that PATCH knows.', type: 'object' } };
  for (const name of typesFrom(roots)) yield { name, value: toTypeSchema(name, dialect) };
}

function* pathsOf(served: readonly Served[], dialect: Dialect): Generator<Part> {
  for (const each of served) {
    for (const [name, operations] of Map.groupBy(operationsOf(each), ({ path }) => path)) {
      const item = Object.fromEntries(operations.map(operation => [operation.method, toOperation(operation, dialect)]));
      yield { name, value: { ...item, parameters: placesOf(operations[0]!, dialect) } };
    }
  }
}

function placesOf({ places }: Operation, dialect: Dialect): object[] {
  const about: Record<string, string> = { name: 'The name of the object.', namespace: 'The namespace of the object.' };
  const required = places.map(name => ({ name, in: 'path', required: true, description: about[name] ?? '', ...typed('string', dialect) }));
  return [...required, toQuery('pretty', dialect)];
}

function toQuery(name: string, dialect: Dialect): object {
  const [type, description] = QUERY[name]!;
  return { name, in: 'query', description, ...typed(type, dialect), ...(dialect === 'v2' && { uniqueItems: true }) };
}

function typed(type: string, dialect: Dialect): object {
  return dialect === 'v2' ? { type } : { schema: { type } };
}

/** kubectl looks at a kind's PATCH for `fieldValidation`, `dryRun` and a strategic merge body; where v3 misses one it asks for v2. */
function toOperation(operation: Operation, dialect: Dialect): object {
  const { id, tag, action, gvk, query, body, answer, consumes, produces, codes, method } = operation;
  const schemaOf = (name: string) => (dialect === 'v2' ? refTo(name, 'v2') : { $ref: `#/components/schemas/${name}` });
  const contentOf = (name: string, types: readonly string[]) => Object.fromEntries(types.map(type => [type, { schema: schemaOf(name) }]));
  const parameters = query.map(name => toQuery(name, dialect));
  const response = (description: string) => {
    if (!answer) return { description };
    return dialect === 'v2' ? { description, schema: schemaOf(answer) } : { description, content: contentOf(answer, produces) };
  };
  const responses = Object.fromEntries([
    ['200', response('OK')],
    ...codes.map(code => [String(code), response(code === 201 ? 'Created' : 'Accepted')]),
    ['401', { description: 'Unauthorized' }],
  ]);
  const shared = { description: `${action} ${gvk.kind}`, tags: [tag], operationId: id };
  const named = { 'x-kubernetes-action': action, 'x-kubernetes-group-version-kind': gvk };
  if (dialect === 'v2') {
    const sent = body ? [{ name: 'body', in: 'body', schema: schemaOf(body), ...(method !== 'delete' && { required: true }) }] : [];
    return { ...shared, consumes, produces, schemes: ['https'], parameters: [...sent, ...parameters], responses, ...named };
  }
  const requestBody = body && {
    content: contentOf(
      body,
      consumes.filter(type => method === 'patch' || type === 'application/json'),
    ),
  };
  return { ...shared, parameters, ...(requestBody && { requestBody }), responses, ...named };
}
