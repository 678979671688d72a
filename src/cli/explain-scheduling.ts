import type { Pod } from '#kinds/types.gen.ts';
import type { Finding } from './explanation.ts';
import { podRequests } from './pod-amounts.ts';

interface Rule {
  form: RegExp;
  says: (match: RegExpExecArray, pod: Pod) => string;
  todo: (match: RegExpExecArray, pod: Pod) => string[];
}

/** `1 node has`, `2 nodes have`. */
const nodes = (match: RegExpExecArray, one: string, many: string) => (match[1] === '1' ? `1 node ${one}` : `${match[1]} nodes ${many}`);

/** The scheduler's reasons, each with how many nodes it keeps out. */
const RULES: readonly Rule[] = [
  {
    form: /^(\d+) Insufficient (\S+?)\.?$/,
    says: (match, pod) =>
      `${nodes(match, 'has', 'have')} too little ${match[2]} left; the pod requests ${podRequests(pod, match[2] ?? '') || 'some'}.`,
    todo: match => [`Lower resources.requests.${match[2]}, or make room: umiak ps shows what else runs.`],
  },
  {
    form: /^(\d+) Too many pods/,
    says: match => `${nodes(match, 'runs', 'run')} as many pods as they may.`,
    todo: () => ['Remove pods that are not needed, or add a node.'],
  },
  {
    form: /^(\d+) node\(s\) didn't match Pod's node affinity\/selector/,
    says: (match, pod) => `${nodes(match, 'does not have', 'do not have')} the labels that the pod asks for${selectorOf(pod)}.`,
    todo: () => ['Change nodeSelector or affinity, or label a node: kubectl label node NAME KEY=VALUE.'],
  },
  {
    form: /^(\d+) node\(s\) had untolerated taint(?:\(s\))? \{([^}]*)\}/,
    says: match => `${nodes(match, 'has', 'have')} the taint ${match[2]?.replace(/: ?$/, '')}, which the pod does not tolerate.`,
    todo: match =>
      match[2]?.startsWith('node.kubernetes.io/')
        ? ['The node put this taint on itself: umiak status and kubectl describe node tell what it lacks.']
        : ['Give the pod a toleration, or take the taint away: kubectl taint node NAME KEY-.'],
  },
  {
    form: /^(\d+) node\(s\) were unschedulable/,
    says: match => `${nodes(match, 'takes', 'take')} no new pods, since somebody cordoned them.`,
    todo: () => ['Let them again: kubectl uncordon NAME.'],
  },
  {
    form: /^(\d+) node\(s\) didn't have free ports/,
    says: match => `${nodes(match, 'has', 'have')} a port in use already that the pod wants of the machine (hostPort).`,
    todo: () => ['Use another hostPort, or a Service instead of one.'],
  },
  {
    form: /^(\d+) node\(s\) didn't match the requested node name/,
    says: (match, pod) => `${nodes(match, 'is', 'are')} not the one that the pod names (${pod.spec.nodeName}).`,
    todo: () => ['Take spec.nodeName away, or name a node that exists.'],
  },
  {
    form: /^(\d+) node\(s\) (?:had volume node affinity conflict|didn't match PersistentVolume's node affinity)/,
    says: match => `${nodes(match, "can't", "can't")} reach the pod's volume.`,
    todo: () => ['The pod must run where its volume is.'],
  },
  {
    form: /^(\d+) node\(s\) didn't match pod (?:anti-)?affinity/,
    says: match => `${nodes(match, 'runs, or lacks,', 'run, or lack,')} the pods that this one's affinity speaks of.`,
    todo: () => ['Loosen podAffinity or podAntiAffinity, or add a node.'],
  },
  {
    form: /^(\d+) node\(s\) didn't satisfy existing pods anti-affinity/,
    says: match => `${nodes(match, 'runs', 'run')} pods that do not want this one beside them.`,
    todo: () => ['Loosen the podAntiAffinity of those pods, or add a node.'],
  },
  {
    form: /^(\d+) node\(s\) didn't match pod topology spread constraints/,
    says: match => `${nodes(match, 'would', 'would')} make the pods lie less evenly than topologySpreadConstraints allow.`,
    todo: () => ['Raise maxSkew, use whenUnsatisfiable: ScheduleAnyway, or add a node.'],
  },
  {
    form: /^pod has unbound immediate PersistentVolumeClaims/,
    says: () => 'A claim of the pod has no volume yet.',
    todo: () => ['kubectl describe pvc tells what it waits for.'],
  },
];

/** What the scheduler's message (`0/3 nodes are available: 1 …, 2 ….`) means, reason by reason. */
export function explainScheduling(message: string, pod: Pod): Finding[] {
  const [, total = '', reasons = ''] = /^\d+\/(\d+) nodes are available: (.*)$/s.exec(message) ?? [];
  if (total === '' && /no nodes available/.test(message)) return [noNodes];
  if (total === '0') return [noNodes];
  if (total === '') return [{ says: `The scheduler says: ${message}` }];
  // Commas stand inside of reasons too; a new one begins with a number.
  const texts = reasons.replace(/\.?\s*(?:preemption: .*)?$/s, '').split(/, (?=\d+ )/);
  return texts.map(text => {
    for (const { form, says, todo } of RULES) {
      const match = form.exec(text);
      if (match) return { says: says(match, pod), todo: todo(match, pod) };
    }
    return { says: `The scheduler says: ${text}.` };
  });
}

const noNodes: Finding = {
  says: 'There is no node at all.',
  todo: ['The agent makes this machine a node: umiak status tells whether it runs, umiak up starts it.'],
};

function selectorOf({ spec }: Pod): string {
  const pairs = Object.entries(spec.nodeSelector ?? {}).map(([key, value]) => `${key}=${value}`);
  return pairs.length > 0 ? ` (${pairs.join(', ')})` : '';
}
