import { toTime } from '#base/clock.ts';
import { matchesLabels, requirementsOf } from '#base/label-selector.ts';
import type { KubeObject } from '#kinds/kind.ts';
import { isPodReady, isPodTerminal } from '#kinds/pod-template.ts';
import { checkGvk } from '#kinds/schema.ts';
import type { Eviction, Pod, PodDisruptionBudget } from '#kinds/types.gen.ts';
import { targetOf } from '../answer.ts';
import { fieldValidationOf, readBodyValue } from '../decode.ts';
import { toDeleteOptions } from '../delete-options.ts';
import type { Context, Outcome, ResourceRoute } from '../request.ts';
import type { Stored } from '../resources.ts';
import { badRequest } from '../status.ts';
import type { StoredObject } from '../stored-object.ts';
import type { Accompany, Writer } from '../writer.ts';
import { takeFromBudget, tooManyBudgets } from './disruption.ts';
import { inserted, success } from './pods.ts';

const EVICTION = { group: 'policy', version: 'v1', kind: 'Eviction' };

export interface EvictionOptions {
  pods: Stored;
  budgets: Stored;
  writer: Writer;
}

/**
 * `pods/x/eviction`: a deletion that asks the pod's disruption budget first. What the budget gives is taken in the transaction of the
 * deletion itself: of two evictions that want the same last disruption one is refused, and none is spent on a pod that stays.
 */
export function evictionHandler({ pods, budgets, writer }: EvictionOptions): (context: Context<ResourceRoute>) => Promise<Outcome> {
  return async context => {
    const { value, duplicates } = await readBodyValue(context);
    const { object: eviction } = checkGvk<Eviction>(EVICTION, value, {
      fieldValidation: fieldValidationOf(context.query),
      strictErrors: duplicates,
    });
    const named = eviction.metadata?.name;
    if (named && named !== context.route.name) throw badRequest('name in URL does not match name in Eviction object');
    const { options, dryRun } = toDeleteOptions(eviction.deleteOptions ?? {}, false);
    const target = targetOf(context, pods);
    const admittedAs = inserted('eviction', EVICTION, eviction);
    await writer.delete({ ...target, dryRun: target.dryRun || dryRun, subresource: '', admittedAs }, options, askingBudget(budgets));
    return success(201);
  };
}

/** Asks the one budget of a pod whose loss would be a disruption, and says on the pod why it ends. @throws `TooManyRequests` */
function askingBudget(budgets: Stored): Accompany {
  return (object, nowMs) => {
    const pod = object as Pod;
    const besides = isNoLoss(pod) ? NOTHING : takeFor(pod, budgets, nowMs);
    markAsEvicted(pod, nowMs);
    return besides;
  };
}

const NOTHING: ReturnType<Accompany> = { conditions: [], writes: [] };

/** Pods that don't serve: they end without asking. */
function isNoLoss(pod: Pod): boolean {
  return pod.metadata.deletionTimestamp !== undefined || isPodTerminal(pod) || (pod.status?.phase ?? 'Pending') === 'Pending';
}

function takeFor(pod: Pod, budgets: Stored, nowMs: number): ReturnType<Accompany> {
  const { name, namespace = '', labels } = pod.metadata;
  const covering = budgetsOf(budgets, namespace, labels);
  const [stored] = covering;
  if (!stored) return NOTHING;
  if (covering.length > 1) throw tooManyBudgets();
  const budget = stored.object<PodDisruptionBudget>();
  const taken = takeFromBudget(budget, { name, isReady: isPodReady(pod) }, nowMs);
  const { cache } = budgets;
  const key = cache.prefix + stored.key;
  return {
    conditions: [{ key, revision: stored.revision }],
    writes: taken ? [{ key, value: cache.layout.encode(taken as KubeObject) }] : [],
  };
}

function budgetsOf({ cache }: Stored, namespace: string, labels: Record<string, string> | undefined): StoredObject[] {
  return [...cache.snapshot().view.range(`${namespace}/`, `${namespace}0`)].filter(stored =>
    matchesLabels(requirementsOf(stored.object<PodDisruptionBudget>().spec.selector), labels),
  );
}

function markAsEvicted(pod: Pod, nowMs: number): void {
  const others = (pod.status?.conditions ?? []).filter(({ type }) => type !== 'DisruptionTarget');
  const condition = {
    type: 'DisruptionTarget',
    status: 'True',
    reason: 'EvictionByEvictionAPI',
    message: 'Eviction API: evicting',
    lastTransitionTime: toTime(nowMs),
    ...(pod.metadata.generation && { observedGeneration: pod.metadata.generation }),
  };
  pod.status = { ...pod.status, conditions: [...others, condition] };
}
