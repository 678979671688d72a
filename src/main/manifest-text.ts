import { type Document, parseAllDocuments, type ScalarTag } from 'yaml';
import { UmiakError } from '#base/errors.ts';
import { isObject } from '#base/json-object.ts';
import type { KubeObject } from '#kinds/kind.ts';

/** What stands in one file, in the order in which it is applied. */
export interface Manifest {
  objects: KubeObject[];
}

const MOST_ALIASES = 100;

/** As kubectl reads YAML: besides 1.2, `yes` and `on` are true and `0644` is octal, as they were in 1.1. */
const OLD_BOOLEAN: ScalarTag = {
  tag: 'tag:yaml.org,2002:bool',
  default: true,
  test: /^(?:[Yy]es|YES|[Oo]n|ON|[Nn]o|NO|[Oo]ff|OFF)$/,
  resolve: text => /^(?:y|on)/i.test(text),
};
const OLD_OCTAL: ScalarTag = {
  tag: 'tag:yaml.org,2002:int',
  default: true,
  test: /^[-+]?0[0-7]+$/,
  resolve: text => Number.parseInt(text, 8),
};

/**
 * The objects of a file of YAML documents or JSON, with Lists taken apart; namespaces and definitions stand first, for what lies in or
 * is of them. @throws `Invalid` with the number of the document
 */
export function parseManifest(text: string): Manifest {
  const documents = parseAllDocuments(text, { merge: true, logLevel: 'silent', customTags: tags => [OLD_BOOLEAN, OLD_OCTAL, ...tags] });
  const objects: KubeObject[] = [];
  for (const [index, document] of documents.entries()) {
    const where = `document ${index + 1}`;
    const [error] = document.errors;
    if (error) throw new UmiakError('Invalid', `${where} is no YAML: ${error.message.split('\n', 1)[0]}`);
    objects.push(...toObjects(toJson(document, where), where));
  }
  return { objects: objects.toSorted((a, b) => rankOf(a) - rankOf(b)) };
}

function toJson(document: Pick<Document, 'toJS'>, where: string): unknown {
  try {
    const value: unknown = document.toJS({ maxAliasCount: MOST_ALIASES });
    return value === undefined ? null : JSON.parse(JSON.stringify(value));
  } catch (cause) {
    throw new UmiakError('Invalid', `${where} is no YAML that JSON can say: ${String(cause)}`, { cause });
  }
}

function toObjects(value: unknown, where: string): KubeObject[] {
  if (value === null) return [];
  if (!isObject(value)) throw new UmiakError('Invalid', `${where} is no object`);
  if (typeof value.kind === 'string' && value.kind.endsWith('List') && Array.isArray(value.items))
    return value.items.flatMap((item, index) => toObjects(item, `${where}, items[${index}]`));
  for (const field of ['apiVersion', 'kind'] as const)
    if (typeof value[field] !== 'string' || value[field] === '') throw new UmiakError('Invalid', `${where} has no ${field}`);
  const { metadata } = value;
  if (!isObject(metadata) || typeof metadata.name !== 'string' || metadata.name === '')
    throw new UmiakError('Invalid', `${where}, a ${value.kind}, has no metadata.name`);
  return [value as unknown as KubeObject];
}

function rankOf({ kind }: KubeObject): number {
  if (kind === 'Namespace') return 0;
  return kind === 'CustomResourceDefinition' ? 1 : 2;
}
