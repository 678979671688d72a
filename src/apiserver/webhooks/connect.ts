import type { KubeObject } from '#kinds/kind.ts';
import type { Context, Outcome, ResourceRoute } from '../request.ts';
import type { AdmissionAttributes } from './attributes.ts';

type Handler = (context: Context<ResourceRoute>) => Promise<Outcome>;

/** The options kind of each subresource that connects, and its fields that are no texts. */
const CONNECTS: Record<string, string> = {
  'pods/exec': 'PodExecOptions',
  'pods/attach': 'PodAttachOptions',
  'pods/portforward': 'PodPortForwardOptions',
  'pods/proxy': 'PodProxyOptions',
  'services/proxy': 'ServiceProxyOptions',
  'nodes/proxy': 'NodeProxyOptions',
};
const FLAGS = ['stdin', 'stdout', 'stderr', 'tty'];

/** Puts admission (operation CONNECT) before the handlers of subresources that connect; all others stay as they are. */
export function connectAdmission(
  handlers: Iterable<readonly [string, Handler]>,
  admit: (attributes: AdmissionAttributes) => void | Promise<void>,
): [string, Handler][] {
  return [...handlers].map(([name, handler]) => {
    const kind = CONNECTS[name];
    if (!kind) return [name, handler];
    return [
      name,
      async context => {
        const pending = admit(toConnect(context, kind));
        if (pending) await pending;
        return await handler(context);
      },
    ];
  });
}

function toConnect({ route, query, identity, warnings, annotations }: Context<ResourceRoute>, kind: string): AdmissionAttributes {
  const { served, subresource, namespace, name, rest } = route;
  const options = optionsOf(kind, query, rest);
  return {
    operation: 'CONNECT',
    served,
    subresource,
    namespace,
    name,
    identity,
    dryRun: false,
    warnings,
    annotations,
    kind: { group: '', version: 'v1', kind },
    object: () => options,
    old: () => null,
  };
}

/** The query as the options object that it stands for. */
function optionsOf(kind: string, query: URLSearchParams, path: string): KubeObject {
  const options: Record<string, unknown> = { kind, apiVersion: 'v1' };
  if (kind.endsWith('ProxyOptions')) {
    if (path) options.path = path;
  } else if (kind === 'PodPortForwardOptions') {
    const ports = query.getAll('ports').map(Number).filter(Number.isInteger);
    if (ports.length > 0) options.ports = ports;
  } else {
    for (const flag of FLAGS) if (query.has(flag)) options[flag] = ['1', 'true'].includes(query.get(flag) ?? '');
    if (query.get('container')) options.container = query.get('container');
    if (kind === 'PodExecOptions') options.command = query.getAll('command');
  }
  return options as unknown as KubeObject;
}
