import type { Container, ContainerStateTerminated, ContainerStatus, Event, Pod } from '#kinds/types.gen.ts';
import { explainExit } from './explain-exit.ts';
import { count, duration, type Explanation, type Finding } from './explanation.ts';

/** An object that a pod names and that must be there. `keys` is absent when the object is. */
export interface Reference {
  kind: 'ConfigMap' | 'Secret' | 'PersistentVolumeClaim' | 'ServiceAccount';
  name: string;
  keys?: string[] | undefined;
}

/** All that an explanation of a pod rests on. */
export interface PodFacts {
  pod: Pod;
  events: readonly Event[];
  nowMs: number;
  /** The node that it is on; null when there is none of that name. */
  node?: { name: string; isReady: boolean; message?: string | undefined } | null | undefined;
  /** The last lines of containers that ended, or that are not ready. */
  logTails: Readonly<Record<string, readonly string[]>>;
  references: readonly Reference[];
}

/** What an explanation of one container adds to its pod's. */
export interface ContainerFinding extends Finding {
  state: Explanation['state'];
  /** Continues `container api`: `crashes again and again`. */
  short: string;
}

/** Newest first. */
export function eventsOf(events: readonly Event[], ...reasons: string[]): Event[] {
  const time = ({ lastTimestamp, eventTime, metadata }: Event) =>
    Date.parse(String(lastTimestamp ?? eventTime ?? metadata.creationTimestamp ?? '')) || 0;
  return events.filter(({ reason }) => reasons.includes(reason ?? '')).sort((a, b) => time(b) - time(a));
}

/** Why a container is not (yet) as its pod wants it; undefined when it is. */
export function explainContainer(container: Container, status: ContainerStatus | undefined, facts: PodFacts): ContainerFinding | undefined {
  const { waiting, running, terminated } = status?.state ?? {};
  if (waiting) return explainWaiting(container, status, waiting, facts);
  if (terminated) return explainEnded(container, terminated, status, facts);
  if (running && status && !status.ready) return explainUnready(container, status, running.startedAt, facts);
  return running ? undefined : { state: 'busy', short: 'is about to be made', says: `Container ${container.name} is not made yet.` };
}

interface Waiting {
  reason?: string | undefined;
  message?: string | undefined;
}

function explainWaiting(
  container: Container,
  status: ContainerStatus | undefined,
  { reason = '', message = '' }: Waiting,
  facts: PodFacts,
): ContainerFinding {
  const last = status?.lastState?.terminated;
  switch (reason) {
    case 'ErrImageNeverPull':
    case 'ErrImagePull':
    case 'ImagePullBackOff':
    case 'InvalidImageName':
      return explainImage(container, reason, message, facts);
    case 'CreateContainerConfigError':
      return explainConfig(container, message, facts);
    case 'CrashLoopBackOff':
      return last ? explainCrash(container, status, last, facts) : { state: 'stuck', short: 'crashes again and again', says: message };
    case 'CreateContainerError':
    case 'RunContainerError':
      return {
        state: 'stuck',
        short: 'could not be started',
        says: `Container ${container.name} could not be ${reason === 'RunContainerError' ? 'started' : 'made'}.`,
        evidence: message ? [message] : [],
        todo: [
          /no such file|not found|executable/i.test(message)
            ? 'Check command, args and workingDir: what they name must be in the image.'
            : 'The message names what the runtime could not do; check securityContext, volumes and command.',
        ],
      };
    case 'PodInitializing':
      return {
        state: 'busy',
        short: 'waits for the init containers',
        says: `Container ${container.name} starts when the init containers are done.`,
      };
    default:
      return {
        state: 'busy',
        short: 'is being made',
        says: `Container ${container.name} is being made${reason && reason !== 'ContainerCreating' ? ` (${reason})` : ''}${message ? `: ${message}` : '.'}`,
      };
  }
}

function explainImage({ name, image = '' }: Container, reason: string, message: string, { events }: PodFacts): ContainerFinding {
  if (reason === 'InvalidImageName')
    return {
      state: 'stuck',
      short: 'names an image that can’t be',
      says: `“${image}” is not the name of an image.`,
      evidence: message ? [message] : [],
      todo: [`Correct the image of container ${name}.`],
    };
  if (reason === 'ErrImageNeverPull')
    return {
      state: 'stuck',
      short: 'has no image',
      says: `Image ${image} is not on this machine, and imagePullPolicy Never forbids to fetch it.`,
      todo: ['Bring it here: umiak image load FILE, umiak image assemble FILE, or umiak image pull NAME; or change imagePullPolicy.'],
    };
  const failed = eventsOf(events, 'Failed').find(event => event.message?.includes(image))?.message;
  const words = failed && (message === '' || /^Back-?off/i.test(message)) ? failed : message;
  return {
    state: 'stuck',
    short: 'has no image',
    says: `Image ${image} can't be fetched${reason === 'ImagePullBackOff' ? '; it is tried again, each time later' : ''}.`,
    evidence: words ? [words] : [],
    todo: [imageAdvice(words)],
  };
}

function imageAdvice(words: string): string {
  if (/no image for|no matching manifest|platform/i.test(words))
    return 'The image is not built for this machine’s architecture; use one that is.';
  if (/\b404\b|not found|MANIFEST_UNKNOWN|NAME_UNKNOWN|does not exist/i.test(words))
    return 'Check the name and the tag for typing errors: the registry does not have it.';
  if (/\b40[13]\b|unauthorized|denied|wants a login|credentials/i.test(words))
    return 'The registry wants a login: give the pod imagePullSecrets, or check those it has.';
  if (/\b429\b|too many/i.test(words)) return 'The registry limits how much may be fetched; log in, wait, or use a mirror.';
  if (/certificate|TLS|SSL/i.test(words))
    return 'The registry’s certificate is not trusted: name its authority by `ca` in its hosts.toml; if it has none, name it in --insecure-registries.';
  if (/reach|ENOTFOUND|EAI_AGAIN|ECONN|timed? ?out|network/i.test(words))
    return 'The registry can’t be reached from this machine: check its name, the network and proxy settings.';
  return 'Try by hand, which shows more: umiak image pull NAME.';
}

function explainConfig({ name }: Container, message: string, { references, pod }: PodFacts): ContainerFinding {
  const { namespace } = pod.metadata;
  const absent = references.find(
    ({ kind, name: its, keys }) => keys === undefined && message.toLowerCase().includes(kind.toLowerCase()) && message.includes(its),
  );
  if (absent)
    return {
      state: 'stuck',
      short: `needs the ${absent.kind} ${absent.name}`,
      says: `Container ${name} takes values from the ${absent.kind} ${absent.name}, which is not in namespace ${namespace}.`,
      todo: [`Create it in namespace ${namespace}, correct its name, or mark it optional. The container starts by itself then.`],
    };
  const [, key = '', kind = '', object = ''] = /find key (\S+) in (\w+) \S*?\/?([^/\s]+)$/.exec(message) ?? [];
  if (key !== '') {
    const has = references.find(each => each.kind === kind && each.name === object)?.keys ?? [];
    return {
      state: 'stuck',
      short: `needs the key ${key} of the ${kind} ${object}`,
      says: `Container ${name} takes the key ${key} from the ${kind} ${object}, which has ${has.length > 0 ? `only ${has.join(', ')}` : 'no keys'}.`,
      todo: ['Add the key, correct its name in the pod, or mark it optional.'],
    };
  }
  return {
    state: 'stuck',
    short: 'has a configuration that can’t be',
    says: `Container ${name} can't be configured.`,
    evidence: message ? [message] : [],
    todo: ['Correct what the message names; the container starts by itself then.'],
  };
}

function explainCrash(
  container: Container,
  status: ContainerStatus | undefined,
  last: ContainerStateTerminated,
  facts: PodFacts,
): ContainerFinding {
  const { meaning, todo } = explainExit(last, exitFactsOf(container, facts));
  const restarts = status?.restartCount ?? 0;
  const probe = killedByProbe(container, facts);
  return {
    state: 'stuck',
    short: 'crashes again and again',
    says: `Container ${container.name} was started ${count(restarts + 1, 'time')}; the last time ${meaning}${agoOf(last, facts)}. It is started again, each time later.`,
    evidence: [...(probe ? [probe] : []), ...lastWords(container, last, facts)],
    todo,
  };
}

function explainEnded(
  container: Container,
  ended: ContainerStateTerminated,
  status: ContainerStatus | undefined,
  facts: PodFacts,
): ContainerFinding | undefined {
  const { restartPolicy = 'Always' } = facts.pod.spec;
  const { meaning, todo } = explainExit(ended, exitFactsOf(container, facts));
  const isFinal = restartPolicy === 'Never' || (restartPolicy === 'OnFailure' && ended.exitCode === 0);
  if (isFinal && ended.exitCode === 0) return undefined;
  return {
    state: isFinal ? 'stuck' : 'busy',
    short: isFinal ? 'has failed' : 'has ended and is started again',
    says: `Container ${container.name}: ${meaning}${agoOf(ended, facts)}.${isFinal ? ' It is not started again (restartPolicy Never).' : ` It is started again at once (${count(status?.restartCount ?? 0, 'restart')} so far).`}`,
    evidence: lastWords(container, ended, facts),
    todo,
  };
}

function explainUnready(container: Container, status: ContainerStatus, startedAt: string | undefined, facts: PodFacts): ContainerFinding {
  const runs = startedAt ? ` for ${duration(facts.nowMs - Date.parse(startedAt))}` : '';
  const isStarting = container.startupProbe !== undefined && status.started !== true;
  const which = isStarting ? 'Startup' : 'Readiness';
  const probe = isStarting ? container.startupProbe : container.readinessProbe;
  const event = eventsOf(facts.events, 'Unhealthy').find(
    each => each.message?.startsWith(`${which} probe`) && isAbout(each, container, facts),
  );
  const words = event?.message?.replace(/^\w+ probe (?:failed|errored)(?: and resulted in \w+ state)?:? ?/, '').split('\n') ?? [];
  if (!probe)
    return { state: 'busy', short: 'is about to be ready', says: `Container ${container.name} runs${runs} and is about to be ready.` };
  const [was] = [status.lastState?.terminated];
  const before = was ? ` Before, ${explainExit(was, exitFactsOf(container, facts)).meaning}.` : '';
  return {
    state: event ? 'stuck' : 'busy',
    short: isStarting ? 'has not started up' : 'is not ready',
    says: `Container ${container.name} runs${runs}, but its ${which.toLowerCase()} probe (${describeProbe(probe)}) ${event ? 'fails' : 'has not succeeded yet'}.${before}`,
    evidence: [...words.filter(line => line !== ''), ...(event ? (facts.logTails[container.name] ?? []) : [])],
    todo: event ? probeAdvice(words.join(' '), isStarting) : [],
  };
}

function probeAdvice(words: string, isStarting: boolean): string[] {
  const patience = isStarting ? ['If it only needs longer, raise failureThreshold or periodSeconds of the startup probe.'] : [];
  if (/refused/i.test(words))
    return [
      'Nothing listens on that port in the container: check the port, and that the program listens on all addresses, not on 127.0.0.1 only.',
      ...patience,
    ];
  if (/timed? ?out|deadline/i.test(words))
    return ['The program answers too slowly: look at its log, give it more CPU, or raise timeoutSeconds.', ...patience];
  if (/statuscode: (401|403)/i.test(words)) return ['The address wants a login; use one that does not.', ...patience];
  if (/statuscode: 404/i.test(words)) return ['Check the path of the probe: the program does not know it.', ...patience];
  if (/statuscode: 5\d\d/i.test(words))
    return ['The program answers that it is not well; its log tells more, often that something it needs is away.', ...patience];
  return ['Check what the probe asks for, and look at the container’s log.', ...patience];
}

type Probe = NonNullable<Container['readinessProbe']>;

/** `GET /readyz on port http` */
function describeProbe({ httpGet, tcpSocket, exec, grpc }: Probe): string {
  if (httpGet) return `GET ${httpGet.path ?? '/'} on port ${httpGet.port}`;
  if (tcpSocket) return `a connection to port ${tcpSocket.port}`;
  if (exec) return `the command “${exec.command?.join(' ')}”`;
  return grpc ? `gRPC health on port ${grpc.port}` : 'unknown';
}

function exitFactsOf(container: Container, facts: PodFacts) {
  const limit = container.resources?.limits?.memory;
  const isRestartedAlways = (container.restartPolicy ?? facts.pod.spec.restartPolicy ?? 'Always') === 'Always';
  return {
    ...(limit !== undefined ? { memoryLimit: String(limit) } : {}),
    wasKilledByProbe: killedByProbe(container, facts) !== undefined,
    isRestartedAlways,
  };
}

/** The message of the liveness or startup probe for which the container was killed. */
function killedByProbe(container: Container, facts: PodFacts): string | undefined {
  const isProbed = container.livenessProbe !== undefined || container.startupProbe !== undefined;
  if (!isProbed || !eventsOf(facts.events, 'Killing').some(({ message }) => /probe/.test(message ?? ''))) return undefined;
  return eventsOf(facts.events, 'Unhealthy').find(
    each => /^(Liveness|Startup) probe/.test(each.message ?? '') && isAbout(each, container, facts),
  )?.message;
}

/** Events without a field path may be of any container; with one they are of that one. */
function isAbout({ involvedObject }: Event, { name }: Container, { pod }: PodFacts): boolean {
  return involvedObject.fieldPath ? involvedObject.fieldPath.includes(`{${name}}`) : pod.spec.containers.length >= 1;
}

function lastWords({ name }: Container, { message }: ContainerStateTerminated, { logTails }: PodFacts): string[] {
  const tail = logTails[name] ?? [];
  return tail.length > 0 ? [...tail] : (message?.trimEnd().split('\n') ?? []);
}

function agoOf({ finishedAt }: ContainerStateTerminated, { nowMs }: PodFacts): string {
  return finishedAt ? `, ${duration(nowMs - Date.parse(finishedAt))} ago` : '';
}
