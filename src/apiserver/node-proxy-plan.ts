import { type FieldCause, UmiakError } from '#base/errors.ts';
import type { Pod } from '#kinds/types.gen.ts';

/** A call of a node's HTTPS API, whose paths are the kubelet's. */
export interface NodeCall {
  node: string;
  pod: string;
  path: string;
}

/** `/containerLogs/…` for `PodLogOptions`; undefined for a pod without a node, which has said nothing yet. @throws `BadRequest`, `Invalid` */
export function planLogs(pod: Pod, query: URLSearchParams): NodeCall | undefined {
  const container = chooseContainer(pod, query.get('container'));
  const options = readLogOptions(query);
  if (!pod.spec.nodeName) return undefined;
  return toCall('containerLogs', pod, container, options);
}

/** `/exec/…` for `PodExecOptions`. @throws `BadRequest` */
export function planExec(pod: Pod, query: URLSearchParams): NodeCall {
  const container = chooseContainer(pod, query.get('container'));
  const options = readStreams(query);
  const command = query.getAll('command');
  if (!command.length) throw new UmiakError('BadRequest', 'you must specify at least one command for the container');
  for (const word of command) options.append('command', word);
  return toCall('exec', running(pod), container, options);
}

/** `/attach/…` for `PodAttachOptions`. @throws `BadRequest` */
export function planAttach(pod: Pod, query: URLSearchParams): NodeCall {
  const container = chooseContainer(pod, query.get('container'));
  return toCall('attach', running(pod), container, readStreams(query));
}

/** `/portForward/…`: the ports are named by the streams, or here where there are channels for them. @throws `BadRequest` */
export function planPortForward(pod: Pod, query: URLSearchParams): NodeCall {
  const { namespace = '', name } = running(pod).metadata;
  const ports = new URLSearchParams(query.getAll('ports').map(port => ['port', port]));
  const path = `/portForward/${[namespace, name].map(encodeURIComponent).join('/')}${ports.size > 0 ? `?${ports}` : ''}`;
  return { node: pod.spec.nodeName ?? '', pod: name, path };
}

/** The container meant. @throws `BadRequest`, naming what there is to choose from */
export function chooseContainer(pod: Pod, wanted: string | null): string {
  const { containers, initContainers = [], ephemeralContainers = [] } = pod.spec;
  const { name } = pod.metadata;
  if (wanted) {
    if ([...containers, ...initContainers, ...ephemeralContainers].some(container => container.name === wanted)) return wanted;
    throw new UmiakError('BadRequest', `container ${wanted} is not valid for pod ${name}`);
  }
  const [only, second] = containers;
  if (only && !second) return only.name;
  const names = (list: { name: string }[]) => list.map(container => container.name).join(' ');
  const choice = containers.length ? `, choose one of: [${names(containers)}]` : '';
  const init = initContainers.length ? ` or one of the init containers: [${names(initContainers)}]` : '';
  throw new UmiakError('BadRequest', `a container name must be specified for pod ${name}${choice}${init}`);
}

function running(pod: Pod): Pod {
  const { name } = pod.metadata;
  if (!pod.spec.nodeName) throw new UmiakError('BadRequest', `pod ${name} does not have a host assigned`);
  const phase = pod.status?.phase;
  if (phase === 'Succeeded' || phase === 'Failed')
    throw new UmiakError('BadRequest', `cannot exec into or attach to a container in a completed pod; current phase is ${phase}`);
  return pod;
}

function toCall(verb: string, pod: Pod, container: string, options: URLSearchParams): NodeCall {
  const { namespace = '', name } = pod.metadata;
  const search = options.size ? `?${options}` : '';
  const path = `/${verb}/${[namespace, name, container].map(encodeURIComponent).join('/')}${search}`;
  return { node: pod.spec.nodeName ?? '', pod: name, path };
}

function readStreams(query: URLSearchParams): URLSearchParams {
  const tty = isTrue(query.get('tty'));
  // A terminal has one output for both.
  const wanted = {
    input: isTrue(query.get('stdin')),
    output: isTrue(query.get('stdout')),
    error: isTrue(query.get('stderr')) && !tty,
    tty,
  };
  if (!wanted.input && !wanted.output && !wanted.error)
    throw new UmiakError('BadRequest', 'you must specify at least 1 of stdin, stdout, stderr');
  return new URLSearchParams(Object.entries(wanted).flatMap(([name, on]) => (on ? [[name, '1']] : [])));
}

const FLAGS = ['follow', 'previous', 'timestamps'];
/** The least each number may be. */
const NUMBERS: Record<string, number> = { tailLines: 0, sinceSeconds: 1, limitBytes: 1 };

function readLogOptions(query: URLSearchParams): URLSearchParams {
  const options = new URLSearchParams();
  const causes: FieldCause[] = [];
  const invalid = (field: string, value: string, message: string) =>
    causes.push({ reason: 'FieldValueInvalid', field, message: `Invalid value: ${JSON.stringify(value)}: ${message}` });
  for (const flag of FLAGS) if (isTrue(query.get(flag))) options.set(flag, 'true');
  for (const [field, least] of Object.entries(NUMBERS)) {
    const value = query.get(field);
    if (value === null) continue;
    if (!/^-?\d{1,18}$/.test(value)) throw new UmiakError('BadRequest', `${field}: ${JSON.stringify(value)} is no integer`);
    if (Number(value) < least) invalid(field, value, `must be greater than ${least === 0 ? 'or equal to 0' : '0'}`);
    options.set(field, value);
  }
  const since = query.get('sinceTime');
  if (since !== null) {
    if (Number.isNaN(Date.parse(since))) throw new UmiakError('BadRequest', `sinceTime: ${JSON.stringify(since)} is no RFC 3339 time`);
    if (options.has('sinceSeconds'))
      causes.push({ reason: 'FieldValueForbidden', field: '', message: 'at most one of `sinceTime` or `sinceSeconds` may be specified' });
    options.set('sinceTime', since);
  }
  const stream = query.get('stream');
  if (stream !== null && stream !== 'All') {
    if (stream !== 'Stdout' && stream !== 'Stderr') invalid('stream', stream, 'supported values: "All", "Stderr", "Stdout"');
    if (options.has('tailLines')) invalid('', '', '`tailLines` and specific `stream` are mutually exclusive for now');
    options.set('stream', stream);
  }
  if (causes.length)
    throw new UmiakError(
      'Invalid',
      `PodLogOptions is invalid: ${causes.map(({ field, message }) => (field ? `${field}: ${message}` : message)).join(', ')}`,
      {
        details: { kind: 'PodLogOptions', causes },
      },
    );
  return options;
}

/** As Kubernetes reads booleans of a query: there without a value is true. */
function isTrue(value: string | null): boolean {
  return value !== null && value !== '0' && value.toLowerCase() !== 'false';
}
