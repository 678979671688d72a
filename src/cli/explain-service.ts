import { isPodReady } from '#kinds/pod-template.ts';
import type { Pod, Service, ServicePort } from '#kinds/types.gen.ts';
import { count, type Explanation, type Finding, worst } from './explanation.ts';

export interface ServiceFacts {
  service: Service;
  /** All pods of its namespace. */
  pods: readonly Pod[];
  /** Those it selects that are not ready, explained. */
  unready: readonly Explanation[];
  /** Ready endpoints in its EndpointSlices. */
  endpoints: number;
}

/** Why a Service does not lead anywhere. */
export function explainService({ service, pods, unready, endpoints }: ServiceFacts): Explanation {
  const { metadata, spec } = service;
  const about = `service ${metadata.namespace}/${metadata.name}`;
  const { selector = {}, type, externalName, ports = [] } = spec;
  if (type === 'ExternalName') return { about, state: 'fine', summary: `is another name for ${externalName}`, findings: [] };
  const isManual = Object.keys(selector).length === 0;
  if (isManual)
    return endpoints > 0
      ? { about, state: 'fine', summary: `leads to ${count(endpoints, 'endpoint')} that somebody made by hand`, findings: [] }
      : {
          about,
          state: 'stuck',
          summary: 'leads nowhere: it has no selector and no endpoints',
          findings: [
            {
              says: 'Without a selector its EndpointSlices must be made by hand.',
              todo: ['Give it a selector, or make an EndpointSlice with its name in the label kubernetes.io/service-name.'],
            },
          ],
        };
  const chosen = pods.filter(({ metadata: { labels } }) => Object.entries(selector).every(([key, value]) => labels?.[key] === value));
  if (chosen.length === 0)
    return {
      about,
      state: 'stuck',
      summary: 'leads nowhere: its selector matches no pod',
      findings: [mismatch(selector, pods, metadata.namespace ?? '')],
    };
  const nameless = ports.filter(port => typeof port.targetPort === 'string' && !chosen.some(pod => hasPort(pod, port)));
  if (nameless.length > 0)
    return {
      about,
      state: 'stuck',
      summary: `leads nowhere: its pods have no port named ${nameless.map(({ targetPort }) => targetPort).join(', ')}`,
      findings: [
        { says: `The containers' ports are ${portsOf(chosen)}.`, todo: ['Correct targetPort, or name the port in the container.'] },
      ],
    };
  const ready = chosen.filter(isPodReady).length;
  if (ready === 0 && !spec.publishNotReadyAddresses)
    return {
      about,
      state: worst(unready.map(({ state }) => state)) === 'stuck' ? 'stuck' : 'busy',
      summary:
        chosen.length === 1
          ? 'leads nowhere: the one pod that it selects is not ready'
          : `leads nowhere: of the ${chosen.length} pods that it selects none is ready`,
      findings: unready.flatMap(({ about: its, summary, findings }) => [
        { says: `${its[0]?.toUpperCase()}${its.slice(1)} ${summary}.` },
        ...findings,
      ]),
    };
  if (endpoints === 0)
    return {
      about,
      state: 'busy',
      summary: 'leads nowhere yet',
      findings: [
        {
          says: 'Its pods are ready; its endpoints are about to be written.',
          todo: ['If this stays so: is the server well? umiak status tells.'],
        },
      ],
    };
  return {
    about,
    state: 'fine',
    summary: `leads to ${count(endpoints, 'ready endpoint')}`,
    findings: [...unready.map(({ about: its, summary }) => ({ says: `Not to ${its}, which ${summary}.` })), ...unlisted(ports, chosen)],
  };
}

function mismatch(selector: Record<string, string>, pods: readonly Pod[], namespace: string): Finding {
  const wanted = Object.entries(selector).map(([key, value]) => `${key}=${value}`);
  if (pods.length === 0)
    return {
      says: `It selects ${wanted.join(', ')}, and there are no pods in namespace ${namespace}.`,
      todo: ['Services select pods of their own namespace only: is it the right one?'],
    };
  const there = new Set(
    pods.flatMap(({ metadata }) =>
      Object.keys(selector).flatMap(key => (metadata.labels?.[key] !== undefined ? [`${key}=${metadata.labels[key]}`] : [])),
    ),
  );
  return {
    says: `It selects ${wanted.join(', ')}; ${there.size > 0 ? `pods of namespace ${namespace} have ${[...there].sort().join(', ')}` : `no pod of namespace ${namespace} has such a label`}.`,
    todo: ['Correct spec.selector, or the labels in the pods’ template.'],
  };
}

function hasPort({ spec }: Pod, { targetPort }: ServicePort): boolean {
  return spec.containers.some(({ ports = [] }) => ports.some(({ name }) => name === targetPort));
}

function portsOf(pods: readonly Pod[]): string {
  const all = pods.flatMap(({ spec }) =>
    spec.containers.flatMap(({ ports = [] }) =>
      ports.map(({ name, containerPort }) => (name ? `${name} (${containerPort})` : String(containerPort))),
    ),
  );
  return all.length > 0 ? [...new Set(all)].join(', ') : 'not listed';
}

/** A number that no container lists may still be right; it is worth a look. */
function unlisted(ports: readonly ServicePort[], chosen: readonly Pod[]): Finding[] {
  const listed = new Set(
    chosen.flatMap(({ spec }) => spec.containers.flatMap(({ ports: its = [] }) => its.map(({ containerPort }) => containerPort))),
  );
  const odd = ports.map(({ port, targetPort = port }) => targetPort).filter(port => typeof port === 'number' && !listed.has(port));
  return listed.size > 0 && odd.length > 0
    ? [{ says: `No container lists port ${odd.join(', ')}; if connections are refused, check targetPort.` }]
    : [];
}
