import { type FieldRequirement, matchesFields, parseFieldSelector } from '#base/field-selector.ts';
import { type LabelRequirement, matchesLabels, parseLabelSelector } from '#base/label-selector.ts';
import { type Converter, fromStored, type Served } from './resources.ts';
import { badRequest } from './status.ts';
import { type Projection, projectionOf, type StoredObject } from './stored-object.ts';

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
  /** Has to show objects before the selectors can see them. */
  converter: Converter | undefined;
  /** True when only the namespace decides. */
  isWhole: boolean;
}

/** Above every key. */
const END = '\uffff';

/** Reads `labelSelector` and `fieldSelector`. @throws `BadRequest` for what can't be parsed or selected by. */
export function parseSelection(served: Served, namespace: string, query: URLSearchParams, name = ''): Selection {
  const labels = parseLabelSelector(query.get('labelSelector') ?? '');
  const fields = parseFieldSelector(query.get('fieldSelector') ?? '');
  for (const { field } of fields) checkField(served, field);
  if (name) fields.push({ field: 'metadata.name', operator: '=', value: name });
  const prefix = namespace ? `${namespace}/` : '';
  const only = fields.find(({ field, operator }) => field === 'metadata.name' && operator === '=');
  const looksInside = labels.length > 0 || fields.some(({ field }) => field !== 'metadata.name' && field !== 'metadata.namespace');
  const converter = looksInside ? served.converter : undefined;
  const project = converter ? (object: StoredObject) => converter.shown(object).projection : projectFor(served);
  const selection = { namespace, from: prefix, to: prefix ? `${namespace}0` : END, labels, fields, project, converter };
  if (only && (namespace || !served.resource.namespaced)) {
    selection.from = prefix + only.value;
    selection.to = `${prefix + only.value}\0`;
  }
  return { ...selection, isWhole: labels.length === 0 && fields.length === 0 };
}

function projectFor(served: Served): Selection['project'] {
  return served.conversion && (object => projectionOf(fromStored(served, object.object()), served.kind.selectableFields));
}

/** Whether the object belongs to the selection. */
export function selects(selection: Selection, object: StoredObject): boolean {
  if (!isWithin(selection, object)) return false;
  if (selection.isWhole) return true;
  const { labels, fields } = selection.project ? selection.project(object) : object.projection;
  if (!matchesLabels(selection.labels, labels)) return false;
  return matchesFields(selection.fields, field => fields[field] ?? '');
}

/** Whether its key is among those that the selection is about. */
export function isWithin({ from, to }: Selection, { key }: StoredObject): boolean {
  return key >= from && key < to;
}

/** Kinds with fields of their own to select by say so otherwise than those with none, as upstream has it. */
function checkField({ kind: { selectableFields }, resource }: Served, field: string): void {
  if (field === 'metadata.name' || selectableFields?.[field]) return;
  if (field === 'metadata.namespace' && (resource.namespaced || !selectableFields)) return;
  const shown = field.slice(0, 100);
  if (selectableFields && Object.keys(selectableFields).length > 0) throw badRequest(`field label not supported: ${shown}`);
  throw badRequest(`${JSON.stringify(shown)} is not a known field selector: only "metadata.name", "metadata.namespace"`);
}
