import type { Node } from './nodes.ts';
import type { CelType } from './types.ts';

/** The most that a node can cost, and the largest size its value can have. */
export interface Estimate {
  cost: number;
  size: number;
}

/** A size that nothing bounds. */
const UNBOUNDED = Number.MAX_SAFE_INTEGER;
const SCALARS = new Set<CelType['kind']>(['bool', 'int', 'uint', 'double', 'null', 'type', 'timestamp', 'duration']);

/** The static estimation of a node, with the sizes of what macros bind. */
export function estimateNode(node: Node, locals: readonly number[] = []): Estimate {
  switch (node.op) {
    case 'const':
      return { cost: 0, size: sizeOfType(node.type) };
    case 'root':
      return { cost: 1, size: sizeOfType(node.type) };
    case 'local':
      return { cost: 1, size: locals[node.slot] ?? sizeOfType(node.type) };
    case 'select': {
      const { cost } = estimateNode(node.target, locals);
      return { cost: cost + 1, size: sizeOfType(node.declared?.type ?? node.type) };
    }
    case 'index':
      return { cost: estimateNode(node.target, locals).cost + estimateNode(node.key, locals).cost + 1, size: sizeOfType(node.type) };
    case 'call':
      return estimateCall(node, locals);
    case 'and':
    case 'or':
      return { cost: estimateNode(node.left, locals).cost + estimateNode(node.right, locals).cost, size: 1 };
    case 'choose': {
      const [yes, no] = [estimateNode(node.yes, locals), estimateNode(node.no, locals)];
      return { cost: estimateNode(node.test, locals).cost + Math.max(yes.cost, no.cost), size: Math.max(yes.size, no.size) };
    }
    case 'list':
      return { cost: 10 + sum(node.items.map(item => estimateNode(item.node, locals).cost)), size: node.items.length };
    case 'map':
      return {
        cost:
          (node.struct ? 40 : 30) + sum(node.entries.flatMap(e => [estimateNode(e.key, locals).cost, estimateNode(e.value, locals).cost])),
        size: node.entries.length,
      };
    case 'bind':
    case 'optMap': {
      const init = estimateNode(node.op === 'bind' ? node.init : node.target, locals);
      const body = estimateNode(node.body, withLocal(locals, node.slot, init.size));
      return { cost: init.cost + body.cost + 1, size: body.size };
    }
    case 'loop':
      return estimateLoop(node, locals);
  }
}

function estimateLoop(node: Extract<Node, { op: 'loop' }>, locals: readonly number[]): Estimate {
  const range = estimateNode(node.range, locals);
  const type = node.range.type;
  const [element, key] = type.kind === 'list' ? [type.element, undefined] : type.kind === 'map' ? [type.value, type.key] : [type, type];
  let inner = withLocal(locals, node.first, sizeOfType(node.second === undefined ? (key ?? element) : (key ?? { kind: 'int' })));
  if (node.second !== undefined) inner = withLocal(inner, node.second, sizeOfType(element));
  const step = estimateNode(node.step, inner);
  const filter = node.filter ? estimateNode(node.filter, inner).cost + 1 : 0;
  const collects = node.macro === 'list' || node.macro === 'mapValues' || node.macro === 'mapEntries';
  const each = step.cost + filter + (collects ? 12 : 3);
  return { cost: bounded(range.cost + range.size * each + 2), size: collects ? range.size : 1 };
}

function estimateCall({ overloads, args, type }: Extract<Node, { op: 'call' }>, locals: readonly number[]): Estimate {
  const estimates = args.map(arg => estimateNode(arg, locals));
  const sizes = estimates.map(({ size }) => size);
  let cost = 1;
  let size = 0;
  for (const overload of overloads) {
    if (overload.cost) cost = Math.max(cost, 1 + overload.cost(...sizes));
    size = Math.max(size, overload.resultSize ? overload.resultSize(...sizes) : sizeOfType(type));
  }
  return { cost: bounded(sum(estimates.map(estimate => estimate.cost)) + cost), size: bounded(size) };
}

function sizeOfType(type: CelType): number {
  if (type.maxSize !== undefined) return type.maxSize;
  if (type.kind === 'optional') return sizeOfType(type.element);
  return SCALARS.has(type.kind) || type.kind === 'object' || type.kind === 'opaque' ? 1 : UNBOUNDED;
}

function withLocal(locals: readonly number[], slot: number, size: number): number[] {
  const next = [...locals];
  next[slot] = size;
  return next;
}

function sum(costs: readonly number[]): number {
  return costs.reduce((total, cost) => total + cost, 0);
}

function bounded(value: number): number {
  return Math.min(UNBOUNDED, value);
}
