import { checkLabelValue } from './names.ts';
import type { NodeSelectorTerm } from './types.gen.ts';

const LABELS: Record<string, string> = {
  'beta.kubernetes.io/arch': 'deprecated since v1.14; use "kubernetes.io/arch" instead',
  'beta.kubernetes.io/os': 'deprecated since v1.14; use "kubernetes.io/os" instead',
  'failure-domain.beta.kubernetes.io/region': 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
  'failure-domain.beta.kubernetes.io/zone': 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
  'beta.kubernetes.io/instance-type': 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
  'app.kubernetes.io/created-by': 'deprecated since v1.9',
  'scheduler.alpha.kubernetes.io/preferAvoidPods': 'deprecated since v1.22; use Taints and Tolerations instead',
  'node-role.kubernetes.io/master': 'use "node-role.kubernetes.io/control-plane" instead',
};

/** Why a label of nodes should not be asked for any more. */
export function nodeLabelWarning(key: string): string | undefined {
  return Object.hasOwn(LABELS, key) ? LABELS[key] : undefined;
}

/** Old labels, and (`checksValues`) values that no label can have, in a term that selects nodes. */
export function nodeTermWarnings({ matchExpressions = [] }: NodeSelectorTerm, path: string, checksValues = false): string[] {
  return matchExpressions.flatMap(({ key, values = [] }, i) => {
    const at = `${path}.matchExpressions[${i}]`;
    const why = nodeLabelWarning(key);
    const warnings = why ? [`${at}.key: ${key} is ${why}`] : [];
    if (checksValues)
      values.forEach((value, j) => {
        for (const wrong of checkLabelValue(value)) warnings.push(`${at}.values[${j}]: ${value} is invalid, ${wrong}`);
      });
    return warnings;
  });
}
