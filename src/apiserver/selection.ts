import { type LabelRequirement, matchesLabels, parseLabelSelector } from '#base/label-selector.ts';
import { fromStored, type Served } from './resources.ts';
import { badRequest } from './status.ts';
import { type Projection, projectionOf, type StoredObject } from './stored-object.ts';

interface FieldRequirement {
  field: string;
  value: string;
  equal: boolean;
}

/** Which objects a list or a watch is about. */
export interface Selection {
  namespace: string;
  /** Keys of the selection stand in [from, to). */
  from: string;
  to: string;
  labels: LabelRequirement[];
  fields: FieldRequirement[];
  /** For a resource stored as another kind: what selectors see of an object. */
  project: ((object: StoredObject) => Projection) | undefined;
  /** True when only the namespace decides. */
  isWhole: boolean;
}

/** Above every key. */
const END = '\uffff';

/** Reads `labelSelector` and `fieldSelector`. @throws `BadRequest` for what can't be parsed or selected by. */
export function parseSelection(served: Served, namespace: string, query: URLSearchParams, name = ''): Selection {
  const labels = parseLabelSelector(query.get('labelSelector') ?? '');
  const fields = parseFieldSelector(served, query.get('fieldSelector') ?? '');
  if (name) fields.push({ field: 'metadata.name', value: name, equal: true });
  const prefix = namespace ? `${namespace}/` : '';
  const only = fields.find(({ field, equal }) => field === 'metadata.name' && equal);
  const project =
    served.conversion && ((object: StoredObject) => projectionOf(fromStored(served, object.object()), served.kind.selectableFields));
  const selection = { namespace, from: prefix, to: prefix ? `${namespace}0` : END, labels, fields, project };
  if (only && (namespace || !served.resource.namespaced)) {
    selection.from = prefix + only.value;
    selection.to = `${prefix + only.value}\0`;
  }
  return { ...selection, isWhole: labels.length === 0 && fields.length === 0 };
}

/** Whether the object belongs to the selection. */
export function selects(selection: Selection, object: StoredObject): boolean {
  if (object.key < selection.from || object.key >= selection.to) return false;
  if (selection.isWhole) return true;
  const { labels, fields } = selection.project ? selection.project(object) : object.projection;
  if (!matchesLabels(selection.labels, labels)) return false;
  return selection.fields.every(({ field, value, equal }) => (fields[field] === value) === equal);
}

function parseFieldSelector(served: Served, text: string): FieldRequirement[] {
  if (text.trim() === '') return [];
  return splitEscaped(text).map(term => {
    const match = /^\s*([^=!\s]+)\s*(==|=|!=)\s*((?:[^\\=,]|\\.)*)$/s.exec(term);
    if (!match) throw badRequest(`invalid selector: '${text.slice(0, 200)}'; can't understand '${term.slice(0, 100)}'`);
    const field = match[1]!;
    const known =
      field === 'metadata.name' || (field === 'metadata.namespace' && served.resource.namespaced) || served.kind.selectableFields?.[field];
    if (!known) throw badRequest(`field label not supported: ${field.slice(0, 100)}`);
    return { field, equal: match[2] !== '!=', value: match[3]!.trim().replaceAll(/\\(.)/gs, '$1') };
  });
}

/** Splits at commas that no backslash stands before. */
function splitEscaped(text: string): string[] {
  return text.match(/(?:[^,\\]|\\.)+/gs) ?? [text];
}
