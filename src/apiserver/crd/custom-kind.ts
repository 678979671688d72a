import { isObject, type JsonObject } from '#base/json-object.ts';
import type { CrdSchema } from '#kinds/crd-schema.ts';
import { jsonEqual } from '#kinds/json-equal.ts';
import { apiVersionOf, type Kind, type KubeObject, type Resource, type Storage, type Subresource } from '#kinds/kind.ts';
import type { CustomResourceDefinition, CustomResourceDefinitionVersion } from '#kinds/types.gen.ts';
import { brief } from '../brief.ts';
import { Layout } from '../stored-object.ts';
import { columnsOf } from './columns.ts';
import { applyDefaults } from './defaults.ts';
import { fieldNamesOf, valueAt } from './json-path.ts';
import { prune } from './prune.ts';
import { SchemaRules } from './schema-rules.ts';

const VERBS = ['delete', 'deletecollection', 'get', 'list', 'patch', 'create', 'update', 'watch'];

/** Reads a version's schema when it is first needed: most definitions of a cluster are never used. */
export type SchemaReader = (version: string) => CrdSchema | undefined;

/** What one definition serves, version by version; the stored one bears the others. */
export interface CustomKinds {
  served: Kind[];
  /** How objects are stored; what was stored under an earlier schema is brought to today's form. */
  stored: VersionForm;
  /** How objects of each version are written, served or not. */
  forms: VersionForm[];
}

/** How objects of one version are written, and what its schema says. */
export interface VersionForm {
  layout: Layout;
  rules: SchemaRules;
}

/** Makes kinds of a definition, under the names it has been accepted with. Schemas are read and compiled at the first object, and not kept until then. `revision` is the definition's. */
export function toKinds(whole: CustomResourceDefinition, revision: number, read: SchemaReader): CustomKinds {
  const versionsWithoutSchema = whole.spec.versions.map(({ schema: _schema, ...version }) => version);
  const definition = { ...whole, spec: { ...whole.spec, versions: versionsWithoutSchema } };
  const { versions } = definition.spec;
  const storage = versions.find(version => version.storage) ?? versions[0]!;
  const rulesOf = new Map(versions.map(({ name }) => [name, new SchemaRules(() => read(name))]));
  const stored = toKind(definition, storage, rulesOf.get(storage.name)!);
  const byWebhook = definition.spec.conversion?.strategy === 'Webhook';
  const served = versions
    .filter(version => version.served)
    .map(version => {
      if (version === storage) return stored;
      if (byWebhook) return toKind(definition, version, rulesOf.get(version.name)!);
      return toKind(
        definition,
        version,
        rulesOf.get(version.name)!,
        renaming(definition, version.name, stored, rulesOf.get(storage.name)!),
      );
    });
  const formOf = (kind: Kind, name: string): VersionForm => {
    const rules = rulesOf.get(name)!;
    const revive = { before: revision, apply: (object: KubeObject) => reviveBy(rules, object) };
    return { layout: new Layout(apiVersionOf(kind.resource), kind.resource.kind, kind.selectableFields ?? {}, revive), rules };
  };
  const kindOf = (name: string): Kind | undefined => [stored, ...served].find(({ resource }) => resource.version === name);
  return {
    served,
    stored: formOf(stored, storage.name),
    forms: versions.map(version => formOf(kindOf(version.name) ?? toKind(definition, version, rulesOf.get(version.name)!), version.name)),
  };
}

function reviveBy({ schema }: SchemaRules, object: KubeObject): void {
  prune(object as unknown as JsonObject, schema);
  applyDefaults(object, schema);
}

function toKind(
  definition: CustomResourceDefinition,
  version: CustomResourceDefinitionVersion,
  rules: SchemaRules,
  storage?: Storage,
): Kind {
  const resource = toResource(definition, version);
  const { group, kind } = resource;
  const hasStatus = version.subresources?.status !== undefined;
  const gvk = { group, version: version.name, kind };
  const columns = columnsOf(version.additionalPrinterColumns);
  return {
    resource,
    type: `${group.split('.').reverse().join('.')}.${version.name}.${kind}`,
    get schema() {
      return rules.typeData;
    },
    check<T>(value: unknown, { fieldValidation = 'Warn', strictErrors = [] }: Parameters<NonNullable<Kind['check']>>[1]) {
      return rules.check<T>(gvk, value, fieldValidation, strictErrors);
    },
    defaults: object => applyDefaults(object, rules.schema),
    prepareForCreate(object) {
      object.metadata.generation = 1;
    },
    prepareForUpdate(object, old) {
      if (isChanged(object, old, hasStatus)) object.metadata.generation = (old.metadata.generation ?? 0) + 1;
    },
    validateCreate: object => rules.validate(object),
    validateUpdate: (object, old) => rules.validate(object, old),
    validateStatusUpdate: (object, old) => rules.validate(object, old),
    columns,
    selectableFields: Object.fromEntries(
      (version.selectableFields ?? []).flatMap(({ jsonPath }) => {
        const names = fieldNamesOf(jsonPath);
        return names ? [[names.join('.'), (object: KubeObject) => textOf(valueAt(object, names))]] : [];
      }),
    ),
    ...(version.subresources?.scale && { scale: toScale(version.subresources.scale) }),
    ...(version.deprecated && {
      deprecation: version.deprecationWarning ?? `${group}/${version.name} ${kind} is deprecated`,
    }),
    ...(storage && { storage }),
    openApi: { revision: `${definition.metadata.uid} ${definition.metadata.generation}`, schema: () => rules.published(gvk) },
  };
}

function toResource({ spec, status }: CustomResourceDefinition, version: CustomResourceDefinitionVersion): Resource {
  const { plural, kind, singular = kind.toLowerCase(), shortNames, categories } = status?.acceptedNames ?? spec.names;
  const subresources: Subresource[] = [];
  if (version.subresources?.status) subresources.push({ name: 'status', kind, verbs: ['get', 'patch', 'update'] });
  if (version.subresources?.scale)
    subresources.push({ name: 'scale', group: 'autoscaling', version: 'v1', kind: 'Scale', verbs: ['get', 'patch', 'update'] });
  return {
    group: spec.group,
    version: version.name,
    kind,
    plural,
    singular,
    namespaced: spec.scope === 'Namespaced',
    verbs: VERBS,
    ...(shortNames?.length && { shortNames }),
    ...(categories?.length && { categories }),
    ...(subresources.length > 0 && { subresources }),
  };
}

/** Conversion `None`: only the apiVersion differs; fields that the stored version doesn't know go. */
function renaming({ spec }: CustomResourceDefinition, version: string, stored: Kind, rules: SchemaRules): Storage {
  return {
    kind: stored,
    toStored(object) {
      const renamed = structuredClone({ ...object, apiVersion: `${spec.group}/${stored.resource.version}` });
      prune(renamed as unknown as JsonObject, rules.schema);
      return renamed;
    },
    fromStored: object => ({ ...object, apiVersion: `${spec.group}/${version}` }),
  };
}

/** Whether anything but metadata (and the status, where that is written on its own) is another. */
function isChanged(object: KubeObject, old: KubeObject, hasStatus: boolean): boolean {
  const rest = ({ metadata: _metadata, ...others }: KubeObject): JsonObject => {
    const content: JsonObject = { ...others };
    if (hasStatus) delete content.status;
    return content;
  };
  return !jsonEqual(rest(object), rest(old));
}

function toScale({
  specReplicasPath,
  statusReplicasPath,
  labelSelectorPath,
}: {
  specReplicasPath: string;
  statusReplicasPath: string;
  labelSelectorPath?: string | undefined;
}): NonNullable<Kind['scale']> {
  const [spec, status, selector] = [specReplicasPath, statusReplicasPath, labelSelectorPath].map(path => path && fieldNamesOf(path));
  const numberAt = (object: KubeObject, names: string[] | '' | undefined): number => {
    const value = names ? valueAt(object, names) : undefined;
    return typeof value === 'number' ? value : 0;
  };
  return {
    specReplicas: object => numberAt(object, spec),
    setSpecReplicas(object, replicas) {
      let parent = object as unknown as JsonObject;
      const names = spec || ['spec', 'replicas'];
      for (const name of names.slice(0, -1)) {
        if (!isObject(parent[name])) parent[name] = {};
        parent = parent[name] as JsonObject;
      }
      parent[names.at(-1)!] = replicas;
    },
    statusReplicas: object => numberAt(object, status),
    selector: object => (selector ? textOf(valueAt(object, selector)) : ''),
  };
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : value === undefined || value === null ? '' : brief(value, Number.POSITIVE_INFINITY);
}
