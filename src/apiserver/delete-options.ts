import { isDryRun, readBodyValue } from './decode.ts';
import type { DeleteOptions } from './deletion.ts';
import type { Context, ResourceRoute } from './request.ts';
import { isTrue } from './routes.ts';
import { badRequest } from './status.ts';

/** How to delete: from the body (`DeleteOptions`) or the query. @throws `BadRequest` */
export async function readDeleteOptions(context: Context<ResourceRoute>): Promise<{ options: DeleteOptions; dryRun: boolean }> {
  const { query, request } = context;
  const body = (await request.readBody()).length > 0 ? (await readBodyValue(context)).value : undefined;
  if (body !== undefined && body !== null) return toDeleteOptions(body, isDryRun(query));
  const options: DeleteOptions = {};
  const grace = query.get('gracePeriodSeconds');
  if (grace) {
    if (!/^-?\d{1,12}$/.test(grace)) throw badRequest(`gracePeriodSeconds: "${grace.slice(0, 40)}" is no whole number`);
    options.gracePeriodSeconds = Number(grace);
  }
  const policy = query.get('propagationPolicy');
  if (policy) options.propagationPolicy = toPolicy(policy);
  const orphan = query.get('orphanDependents');
  if (orphan !== null) options.propagationPolicy ??= isTrue(orphan) ? 'Orphan' : 'Background';
  return { options, dryRun: isDryRun(query) };
}

/** Reads a `DeleteOptions` object. @throws `BadRequest` */
export function toDeleteOptions(body: unknown, dryRunAsked: boolean): { options: DeleteOptions; dryRun: boolean } {
  if (typeof body !== 'object' || Array.isArray(body)) throw badRequest('the body is no DeleteOptions object');
  const { kind, gracePeriodSeconds, propagationPolicy, orphanDependents, preconditions, dryRun } = body as Record<string, unknown>;
  if (kind !== undefined && kind !== 'DeleteOptions')
    throw badRequest(`the body must be DeleteOptions, not ${(JSON.stringify(kind) ?? '').slice(0, 100)}`);
  const options: DeleteOptions = {};
  if (gracePeriodSeconds !== undefined && gracePeriodSeconds !== null) {
    if (!Number.isSafeInteger(gracePeriodSeconds)) throw badRequest('gracePeriodSeconds: a whole number is needed');
    options.gracePeriodSeconds = gracePeriodSeconds as number;
  }
  if (propagationPolicy !== undefined && propagationPolicy !== null) options.propagationPolicy = toPolicy(propagationPolicy);
  else if (typeof orphanDependents === 'boolean') options.propagationPolicy = orphanDependents ? 'Orphan' : 'Background';
  if (preconditions !== undefined && preconditions !== null) options.preconditions = toPreconditions(preconditions);
  const dryRuns = dryRun === undefined || dryRun === null ? [] : dryRun;
  if (!Array.isArray(dryRuns) || dryRuns.some(value => value !== 'All')) throw badRequest('dryRun: supported values: "All"');
  return { options, dryRun: dryRunAsked || dryRuns.length > 0 };
}

function toPolicy(policy: unknown): NonNullable<DeleteOptions['propagationPolicy']> {
  if (policy === 'Background' || policy === 'Foreground' || policy === 'Orphan') return policy;
  throw badRequest('DeleteOptions.propagationPolicy: supported values: "Foreground", "Background", "Orphan"');
}

function toPreconditions(value: unknown): NonNullable<DeleteOptions['preconditions']> {
  const { uid, resourceVersion } = typeof value === 'object' ? (value as Record<string, unknown>) : {};
  if ((uid !== undefined && typeof uid !== 'string') || (resourceVersion !== undefined && typeof resourceVersion !== 'string')) {
    throw badRequest('DeleteOptions.preconditions: uid and resourceVersion are strings');
  }
  return { ...(uid !== undefined && { uid }), ...(resourceVersion !== undefined && { resourceVersion }) };
}
