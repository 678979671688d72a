import { CustomResourceDefinition } from '#kinds/apiextensions.ts';
import type { CrdSchema } from '#kinds/crd-schema.ts';
import { jsonEqual } from '#kinds/json-equal.ts';
import { apiVersionOf, type Kind } from '#kinds/kind.ts';
import type { Store } from '#store/store.ts';
import { ResourceCache } from '../resource-cache.ts';
import { type CustomService, prefixOf, type Resources, type Stored } from '../resources.ts';
import { type Layout, StoredObject } from '../stored-object.ts';
import type { WebhookCaller } from '../webhooks/webhook-caller.ts';
import { type SchemaReader, toKinds } from './custom-kind.ts';
import { type NameHolder, nameHolderOf } from './naming.ts';
import { VersionedLayout, WebhookConverter } from './webhook-converter.ts';

type Definition = CustomResourceDefinition;

/** A definition that was in the store from the start. */
export interface Restored {
  holder: NameHolder;
  /** What is served of it already. */
  serving?: { form: string; cache: ResourceCache };
  /** Nothing has to be done about it. */
  isSettled: boolean;
}

/** Has everything served that the store's established definitions define; before the cluster's cache is read. */
export async function restoreCustomResources(
  resources: Resources,
  store: Store,
  caller: WebhookCaller,
): Promise<ReadonlyMap<string, Restored>> {
  const { cache } = definitionsOf(resources);
  const restored = new Map<string, Restored>();
  const { entries } = await store.list(cache.prefix);
  for (const { key, value, revision } of entries) {
    const stored = new StoredObject(cache.layout, key.slice(cache.prefix.length), value, revision);
    const crd = stored.object<Definition>();
    const isServed = isEstablished(crd.status);
    const isSettled = isServed && crd.metadata.deletionTimestamp === undefined && hasItsNames(crd);
    const holder = nameHolderOf(crd);
    if (!isServed) {
      restored.set(stored.key, { holder, isSettled });
      continue;
    }
    const { kinds, converters, layout } = servedBy(crd, stored, { definitions: cache, caller });
    const own = new ResourceCache({ layout, prefix: prefixOf({ group: crd.spec.group, plural: crd.spec.names.plural }) });
    resources.serve(stored.key, { kinds, converters, cache: own });
    restored.set(stored.key, { holder, isSettled, serving: { form: formOf(crd), cache: own } });
  }
  return restored;
}

/** Whether its resources are served. */
export function isEstablished(status: Definition['status']): boolean {
  return status?.conditions?.some(({ type, status: is }) => type === 'Established' && is === 'True') ?? false;
}

function hasItsNames({ spec, status }: Definition): boolean {
  return (
    status?.conditions?.some(({ type, status: is }) => type === 'NamesAccepted' && is === 'True') === true &&
    jsonEqual(spec.names, status.acceptedNames)
  );
}

/** Where definitions are kept. */
export function definitionsOf(resources: Resources): Stored {
  const { group, version, plural } = CustomResourceDefinition.resource;
  return resources.stored(group, version, plural);
}

/** What of a definition decides how it is served. */
export function formOf({ metadata, status }: Definition): string {
  return JSON.stringify([metadata.uid, metadata.generation, status?.acceptedNames]);
}

/** What a definition serves, but for the objects; and their layout. */
export function servedBy(
  crd: Definition,
  { revision }: StoredObject,
  { definitions, caller }: { definitions: ResourceCache; caller: WebhookCaller },
): Pick<CustomService, 'kinds' | 'converters'> & { layout: Layout } {
  const { served, stored, forms } = toKinds(crd, revision, schemaReader(crd.metadata.name, definitions));
  const { webhook } = crd.spec.conversion ?? {};
  if (!webhook) return { kinds: served, layout: stored.layout };
  const shownAs = ({ resource }: Kind) => forms.find(({ layout }) => layout.apiVersion === apiVersionOf(resource))!;
  const converters = served.map(kind => new WebhookConverter({ webhook, caller, shown: shownAs(kind), storage: stored }));
  return {
    kinds: served,
    converters,
    layout: new VersionedLayout(
      stored.layout,
      forms.map(({ layout }) => layout),
    ),
  };
}

/** Reads schemas from the definition in the cache, where alone they are kept. */
function schemaReader(name: string, definitions: ResourceCache): SchemaReader {
  return version => {
    const versions = definitions.get(name)?.object<Definition>().spec.versions;
    return versions?.find(each => each.name === version)?.schema?.openAPIV3Schema as CrdSchema | undefined;
  };
}
