import { isUmiakError } from '#base/index.ts';
import { alsoWatch, type Controller, defineController, done, type Outcome, type Reconciling } from '#client/index.ts';
import type { Kind } from '#kinds/kind.ts';
import { Namespace } from '#kinds/namespace.ts';
import { Pod } from '#kinds/pod.ts';
import { ignoreAbsent } from './absence.ts';
import { isSameStatus, setCondition } from './status.ts';

/** What waits only for foreign finalizers is looked at again after this. */
const AGAIN_MS = 1_000;

/** Empties a namespace that is being deleted, kind by kind, and lets it go once nothing is left. */
export function namespaceController(kinds: readonly Kind[]): Controller<Namespace> {
  const contents = kinds.filter(({ resource, refused }) => resource.namespaced && !refused && resource.verbs.includes('deletecollection'));
  return defineController<Namespace>({
    name: 'namespace-controller',
    watches: Namespace,
    alsoWatches: [alsoWatch(Pod, ({ metadata }) => (metadata.deletionTimestamp ? [{ name: metadata.namespace ?? '' }] : []))],
    async reconcile({ name }, context) {
      const namespace = await context.client.get(Namespace, { name });
      if (!namespace?.metadata.deletionTimestamp || !namespace.spec.finalizers?.includes('kubernetes')) return done;
      const left = await empty(name, contents, context);
      await writeStatus(namespace, left, context);
      if (left.length > 0) return { againInMs: AGAIN_MS };
      return finalize(namespace, context);
    },
  });
}

interface Left {
  kind: Kind;
  count: number;
  finalizers: string[];
}

/** Asks for the deletion of everything in the namespace; returns what is still there. */
async function empty(namespace: string, kinds: readonly Kind[], { client }: Reconciling): Promise<Left[]> {
  const left = await Promise.all(
    kinds.map(async kind => {
      const before = await client.list(kind, { namespace, limit: 1 });
      if (before.items.length === 0) return [];
      await client.deleteCollection(kind, { namespace }, { propagationPolicy: 'Background' });
      const { items } = await client.list(kind, { namespace });
      return items.length > 0
        ? [{ kind, count: items.length, finalizers: items.flatMap(({ metadata }) => metadata.finalizers ?? []) }]
        : [];
    }),
  );
  return left.flat();
}

async function writeStatus(namespace: Namespace, left: Left[], { client, clock }: Reconciling): Promise<void> {
  const now = clock.now();
  const remaining = left.map(({ kind, count }) => `${kind.resource.plural} has ${count} resource instances`).join(', ');
  const finalizers = [...new Set(left.flatMap(each => each.finalizers))];
  let conditions = setCondition(
    namespace.status?.conditions,
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
