import type { Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodSpec } from './types.gen.ts';

/** True when the node meets a pod's `nodeSelector` and required node affinity. */
export function nodeMatchesPod(spec: Pick<PodSpec, 'nodeSelector' | 'affinity'>, node: Node): boolean {
  const labels = node.metadata.labels ?? {};
  for (const key in spec.nodeSelector) if (labels[key] !== spec.nodeSelector[key]) return false;
  const required = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required === undefined || matchesNodeSelector(required, node);
}

/** True when one term matches. */
export function matchesNodeSelector({ nodeSelectorTerms }: NodeSelector, node: Node): boolean {
  return nodeSelectorTerms.some(term => matchesNodeSelectorTerm(term, node));
}

/** True when all of a term's requirements are met; an empty term matches nothing. */
function matchesNodeSelectorTerm({ matchExpressions = [], matchFields = [] }: NodeSelectorTerm, node: Node): boolean {
  if (matchExpressions.length === 0 && matchFields.length === 0) return false;
  const labels = node.metadata.labels ?? {};
  return (
    matchExpressions.every(one => meets(one, Object.hasOwn(labels, one.key) ? labels[one.key] : undefined)) &&
    matchFields.every(one => meets(one, one.key === 'metadata.name' ? node.metadata.name : undefined))
  );
}

/** The sum of the weights of the preferred terms that match. */
export function preferredNodeWeight(spec: Pick<PodSpec, 'affinity'>, node: Node): number {
  let weight = 0;
  for (const term of spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [])
    if (matchesNodeSelectorTerm(term.preference, node)) weight += term.weight;
  return weight;
}

function meets({ operator, values = [] }: NodeSelectorRequirement, value: string | undefined): boolean {
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'Gt':
    case 'Lt': {
      const [bound] = values;
      if (!isInteger(value) || !isInteger(bound)) return false;
      return operator === 'Gt' ? BigInt(value) > BigInt(bound) : BigInt(value) < BigInt(bound);
    }
    default:
      return false;
  }
}

function isInteger(text: string | undefined): text is string {
  return text !== undefined && /^-?\d{1,19}$/.test(text);
}
