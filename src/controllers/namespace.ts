import { isUmiakError } from '#base/index.ts';
import { alsoWatch, type Controller, defineController, done, type Outcome, type Reconciling } from '#client/index.ts';
import type { Key, Kind, KubeObject } from '#kinds/kind.ts';
import { Namespace } from '#kinds/namespace.ts';
import { ignoreAbsent } from './absence.ts';
import type { CustomKinds } from './custom-kinds.ts';
import { ownershipOnly } from './ownership-only.ts';
import { isSameStatus, setCondition } from './status.ts';

/** Should the watches have told nothing by then, what is left is looked at again. */
const AGAIN_MS = 15_000;

/** Empties a namespace that is being deleted, kind by kind, and lets it go once nothing is left. */
export function namespaceController(kinds: readonly Kind[], customKinds?: CustomKinds): Controller<Namespace> {
  const contents = kinds.filter(
    ({ resource, refused, storage }) => resource.namespaced && !refused && !storage && resource.verbs.includes('deletecollection'),
  );
  // Events go with the rest, but nothing has to wait for one of them.
  const awaited = contents.filter(({ resource }) => resource.kind !== 'Event');
  return defineController<Namespace>({
    name: 'namespace-controller',
    watches: Namespace,
    alsoWatches: awaited.map(kind => alsoWatch(kind, ifTerminating, ownershipOnly)),
    hears: add =>
      customKinds?.subscribe((_kind, { object, previous }) => {
        const { namespace } = (object ?? previous)?.metadata ?? {};
        if (namespace && (!object || object.metadata.deletionTimestamp)) add({ name: namespace });
      }) ?? NOTHING,
    async reconcile({ name }, context) {
      const namespace = await context.client.get(Namespace, { name });
      if (!namespace?.metadata.deletionTimestamp || !namespace.spec.finalizers?.includes('kubernetes')) return done;
      await customKinds?.start();
      const left = await empty(name, { awaited, contents, customKinds }, context);
      await writeStatus(namespace, left, context);
      if (left.length > 0) return { againInMs: AGAIN_MS };
      return finalize(namespace, context);
    },
  });
}

/** The object's namespace while that is being emptied: something in it came, changed or went. */
function ifTerminating({ metadata: { namespace: name = '' } }: KubeObject, { client }: Reconciling): Key[] {
  return client.cached(Namespace).get({ name })?.metadata.deletionTimestamp ? [{ name }] : [];
}

interface Contents {
  /** Kinds that are watched … */
  awaited: readonly Kind[];
  /** … and all there are. */
  contents: readonly Kind[];
  /** Those that come and go. */
  customKinds: CustomKinds | undefined;
}

const NOTHING: Disposable = { [Symbol.dispose]: () => undefined };

interface Left {
  kind: Kind;
  count: number;
  finalizers: string[];
}

/**
 * Asks for the deletion of everything in the namespace, of pods before all else; returns what is still there. The pictures tell while they show something;
 * when they show nothing any more the API itself is asked, kind by kind.
 */
async function empty(namespace: string, { awaited, contents, customKinds }: Contents, { client }: Reconciling): Promise<Left[]> {
  const builtin = awaited.map(kind => ({ kind, items: client.cached(kind).list(namespace) }));
  const shown = [...builtin, ...(customKinds?.list(namespace) ?? [])].filter(({ items }) => items.length > 0);
  const deleteAll = (kind: Kind) => client.deleteCollection(kind, { namespace }, { propagationPolicy: 'Background' });
  if (shown.length > 0) {
    // Pods first: what they use stays until they have ended.
    const pods = shown.filter(({ kind }) => kind.resource.kind === 'Pod' && kind.resource.group === '');
    const alive = (pods.length > 0 ? pods : shown).filter(({ items }) => items.some(({ metadata }) => !metadata.deletionTimestamp));
    await Promise.all(alive.map(({ kind }) => ignoreAbsent(deleteAll(kind))));
    return shown.map(toLeft);
  }
  const custom = customKinds?.kinds.filter(({ resource }) => resource.namespaced) ?? [];
  const left = await Promise.all(
    [...contents, ...custom].map(async kind => {
      if ((await listAll(kind)).length === 0) return [];
      await ignoreAbsent(deleteAll(kind));
      const items = await listAll(kind);
      return items.length > 0 ? [toLeft({ kind, items })] : [];
    }),
  );
  return left.flat();

  /** Nothing of a custom kind that is served no longer. */
  async function listAll(kind: Kind): Promise<KubeObject[]> {
    try {
      return (await client.list(kind, { namespace })).items;
    } catch (error) {
      if (isUmiakError(error, 'NotFound')) return [];
      throw error;
    }
  }
}

function toLeft({ kind, items }: { kind: Kind; items: KubeObject[] }): Left {
  return { kind, count: items.length, finalizers: items.flatMap(({ metadata }) => metadata.finalizers ?? []) };
}

/** What can go wrong for others is sure here: all kinds are known, and deletions are accepted or tried again. */
const ALWAYS_WELL = [
  { type: 'NamespaceDeletionDiscoveryFailure', reason: 'ResourcesDiscovered', message: 'All resources successfully discovered' },
  {
    type: 'NamespaceDeletionGroupVersionParsingFailure',
    reason: 'ParsedGroupVersions',
    message: 'All legacy kube types successfully parsed',
  },
  {
    type: 'NamespaceDeletionContentFailure',
    reason: 'ContentDeleted',
    message: 'All content successfully deleted, may be waiting on finalization',
  },
];

async function writeStatus(namespace: Namespace, left: Left[], { client, clock }: Reconciling): Promise<void> {
  const now = clock.now();
  const remaining = left.map(({ kind, count }) => `${kind.resource.plural} has ${count} resource instances`).join(', ');
  const finalizers = [...new Set(left.flatMap(each => each.finalizers))];
  let conditions = ALWAYS_WELL.reduce(
    (said, each) => setCondition(said, { ...each, status: 'False' }, now),
    namespace.status?.conditions ?? [],
  );
  conditions = setCondition(
    conditions,
    left.length > 0
      ? {
          type: 'NamespaceContentRemaining',
          status: 'True',
          reason: 'SomeResourcesRemain',
          message: `Some resources are remaining: ${remaining}`,
        }
      : { type: 'NamespaceContentRemaining', status: 'False', reason: 'ContentRemoved', message: 'All content successfully removed' },
    now,
  );
  conditions = setCondition(
    conditions,
    finalizers.length > 0
      ? {
          type: 'NamespaceFinalizersRemaining',
          status: 'True',
          reason: 'SomeFinalizersRemain',
          message: `Some content in the namespace has finalizers remaining: ${finalizers.join(', ')}`,
        }
      : {
          type: 'NamespaceFinalizersRemaining',
          status: 'False',
          reason: 'ContentHasNoFinalizers',
          message: 'All content-preserving finalizers finished',
        },
    now,
  );
  const status = { ...namespace.status, phase: 'Terminating', conditions };
  if (left.length > 0 && !isSameStatus(namespace.status, status)) {
    await ignoreAbsent(client.patch(Namespace, namespace.metadata, { status }, { type: 'merge', subresource: 'status' }));
  }
}

async function finalize(namespace: Namespace, { client }: Reconciling): Promise<Outcome> {
  const finalizers = namespace.spec.finalizers?.filter(name => name !== 'kubernetes') ?? [];
  try {
    await client.replaceSubresource(Namespace, namespace.metadata, 'finalize', { ...namespace, spec: { ...namespace.spec, finalizers } });
  } catch (error) {
    if (!isUmiakError(error, 'NotFound')) throw error;
  }
  return done;
}
