import { nodeMatchesPod } from '#kinds/node-affinity.ts';
import type { Pod } from '#kinds/pod.ts';
import { findUntolerated, tolerates } from '#kinds/tolerations.ts';
import { type Filter, passesNow, type Rejection, rejection } from './plugin.ts';

const UNSCHEDULABLE = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };
const FINAL = { isFinal: true };
const CORDONED = rejection('node(s) were unschedulable', FINAL);
const OTHER_NAME = rejection("node(s) didn't match the requested node name", FINAL);
const NO_MATCH = rejection("node(s) didn't match Pod's node affinity/selector", FINAL);
const NOT_LISTED = rejection("node(s) didn't satisfy plugin(s) [NodeAffinity]", FINAL);
const PORT_TAKEN = rejection("node(s) didn't have free ports for the requested pod ports");

export const nodeUnschedulable: Filter = {
  name: 'NodeUnschedulable',
  prepare: ({ pod }) =>
    pod.spec.tolerations?.some(toleration => tolerates(toleration, UNSCHEDULABLE))
      ? undefined
      : { reject: (_row, node) => (node.spec.unschedulable ? CORDONED : undefined) },
  helps: { node: passesNow(() => nodeUnschedulable) },
};

export const nodeName: Filter = {
  name: 'NodeName',
  prepare: ({ pod: { spec } }) =>
    spec.nodeName ? { reject: (_row, node) => (spec.nodeName === node.metadata.name ? undefined : OTHER_NAME) } : undefined,
  helps: { node: passesNow(() => nodeName) },
};

export const taintToleration: Filter = {
  name: 'TaintToleration',
  prepare: ({ pod: { spec } }) => ({
    reject(_row, node): Rejection | undefined {
      if (!node.spec.taints) return undefined;
      const taint = findUntolerated(node.spec.taints, spec.tolerations);
      return taint && rejection(`node(s) had untolerated taint(s) {${taint.key}: ${taint.value ?? ''}}`, FINAL);
    },
  }),
  helps: { node: passesNow(() => taintToleration) },
};

export const nodeAffinity: Filter = {
  name: 'NodeAffinity',
  prepare({ pod: { spec } }) {
    if (!spec.nodeSelector && !spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution) return undefined;
    const names = namesAskedFor(spec);
    return {
      reject(_row, node) {
        if (names && !names.includes(node.metadata.name)) return NOT_LISTED;
        return nodeMatchesPod(spec, node) ? undefined : NO_MATCH;
      },
    };
  },
  helps: { node: passesNow(() => nodeAffinity) },
};

/** The nodes that every term names by `metadata.name`, as DaemonSets' pods do; undefined when a term names none. */
function namesAskedFor({ affinity }: Pod['spec']): readonly string[] | undefined {
  const terms = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  const names: string[] = [];
  for (const { matchFields = [] } of terms) {
    const named = matchFields.find(({ key, operator }) => key === 'metadata.name' && operator === 'In');
    if (!named) return undefined;
    names.push(...(named.values ?? []));
  }
  return terms.length > 0 ? names : undefined;
}

export const nodePorts: Filter = {
  name: 'NodePorts',
  prepare: ({ request: { hostPorts } }, { table }) =>
    hostPorts.length === 0
      ? undefined
      : { reject: row => (hostPorts.some(port => takes(table.hostPorts[row]!, port)) ? PORT_TAKEN : undefined) },
  helps: { node: passesNow(() => nodePorts), 'pod-gone': passesNow(() => nodePorts) },
};

/** A port of one address collides with the same port of that address or of all. */
function takes(used: ReadonlyMap<string, number>, port: string): boolean {
  const [address, ...rest] = port.split('/');
  const suffix = `/${rest.join('/')}`;
  if (used.has(port) || used.has(`0.0.0.0${suffix}`)) return true;
  if (address !== '0.0.0.0') return false;
  for (const each of used.keys()) if (each.endsWith(suffix)) return true;
  return false;
}
