import { toJson } from '#cel/index.ts';
import { jsonEqual } from '#kinds/json-equal.ts';
import type { KubeObject } from '#kinds/kind.ts';
import { checkObject } from '#kinds/schema.ts';
import { merge } from '../apply/merge.ts';
import { FREE, rootShapeOf, type Shape } from '../apply/shape.ts';
import { applyJsonPatch } from '../patch/json-patch.ts';
import type { Served } from '../resources.ts';
import type { CompiledExpression } from './environment.ts';
import { Evaluation, type Subject } from './evaluation.ts';
import { conditionsHold } from './validating.ts';

/** The object (in the version that the policy sees) with a policy's mutations, undefined when they change nothing. @throws Error */
export function mutated(served: Served, compiled: readonly CompiledExpression[], subject: Subject): KubeObject | undefined {
  const { request } = subject;
  const first = new Evaluation(subject, compiled);
  if (!conditionsHold(compiled, first)) return undefined;
  const before = request.object;
  if (!before) return undefined;
  let object = before;
  for (const expression of compiled) {
    if (expression.sort !== 'applyConfiguration' && expression.sort !== 'jsonPatch') continue;
    const current = object;
    const seen: Subject = { ...subject, request: { ...request, object: current } };
    object = mutateOnce(served, expression, current, object === before ? first : new Evaluation(seen, compiled));
  }
  return jsonEqual(object, before) ? undefined : object;
}

function mutateOnce(served: Served, expression: CompiledExpression, object: KubeObject, evaluation: Evaluation): KubeObject {
  const value = toJson(evaluation.run(expression));
  if (expression.sort === 'jsonPatch') return complete(served, object, applyJsonPatch(structuredClone(object), value));
  const shape = rootShapeOf(served.kind, '');
  const config = value as Record<string, unknown>;
  refuseAtomic(shape, config, '');
  return complete(served, object, structuredClone(merge(shape, object, config)));
}

/** An apply configuration may not replace what is one piece: nobody could say which part of it was meant. @throws Error */
function refuseAtomic(shape: Shape, value: unknown, path: string): void {
  if (typeof value !== 'object' || value === null) return;
  if (shape.is === 'leaf') throw new Error(`invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: ${path}`);
  if (Array.isArray(value)) {
    if (shape.is === 'list') for (const item of value) refuseAtomic(shape.items, item, path);
    return;
  }
  for (const [name, part] of Object.entries(value)) {
    const inner = shape.is === 'map' ? shape.values : shape.is === 'struct' ? (shape.field(name)?.shape ?? FREE) : FREE;
    refuseAtomic(inner, part, `${path}.${name}`);
  }
}

/** A whole object of what a mutation made: checked and defaulted like what a client sends. @throws Error */
function complete({ kind }: Served, before: KubeObject, made: unknown): KubeObject {
  const { object, missing } = checkObject(kind, made, { fieldValidation: 'Strict' });
  kind.defaults?.(object);
  const { metadata } = object;
  if (metadata?.name !== before.metadata.name || metadata?.namespace !== before.metadata.namespace)
    throw new Error('the name and namespace of an object can not be changed');
  if (missing.length > 0) throw new Error(missing.map(({ field, message }) => `${field}: ${message}`).join(', '));
  return object;
}
