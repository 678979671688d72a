import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { UmiakError } from '#base/errors.ts';
import { hostPlatform } from '#images/oci.ts';
import { type DockerContext, type DockerRequest, type Route, sendJson } from '../request.ts';
import { type DaemonFacts, toInfo, toVersion } from './system-forms.ts';

export { OLDEST_MINOR, VERSION_MINOR } from './system-forms.ts';

const NOT_HERE = /^\/(plugins|swarm|nodes|services|tasks|secrets|configs|session|grpc)(?:\/.*)?$/;

/** What docker's clients ask first: is somebody there, who, on what machine. */
export const systemRoutes: readonly Route[] = [
  ['GET', /^\/_ping$/, ping],
  ['HEAD', /^\/_ping$/, ping],
  ['GET', /^\/version$/, version],
  ['GET', /^\/info$/, info],
  ['GET', /^\/system\/df$/, diskUsage],
  ['GET', /^\/plugins\/(.+)\/json$/, noPlugin],
  ['POST', /^\/swarm\/leave$/, noSwarm],
  ['GET', NOT_HERE, refuseArea],
  ['POST', NOT_HERE, refuseArea],
  ['PUT', NOT_HERE, refuseArea],
  ['DELETE', NOT_HERE, refuseArea],
];

/** What of docker's API is not part of this program. */
const AREAS: Record<string, string> = {
  plugins: 'plugins: volumes are of the local driver, networks of the built-in ones',
  swarm: 'swarm: what runs on several machines is run by Kubernetes here',
  nodes: 'swarm nodes: `kubectl get nodes` tells of machines',
  services: 'swarm services: Deployments of Kubernetes take their place',
  tasks: 'swarm tasks: Pods of Kubernetes take their place',
  secrets: 'swarm secrets: Secrets of Kubernetes take their place',
  configs: 'swarm configs: ConfigMaps of Kubernetes take their place',
  session: 'BuildKit sessions: builds take the classic way (DOCKER_BUILDKIT=0)',
  grpc: "BuildKit's gRPC: builds take the classic way (DOCKER_BUILDKIT=0)",
};

/** Never an empty list: who asks is to know that there is nothing to ask. */
function refuseArea({ name }: DockerRequest): never {
  throw new UmiakError('NotImplemented', `umiak does not have ${AREAS[name] ?? name}`);
}

/** `docker inspect x` asks for a plugin, too, of everything that it does not find. */
function noPlugin({ name }: DockerRequest): never {
  throw new UmiakError('NotFound', `plugin "${name}" not found`);
}

/** Who leaves a swarm where none is gets what docker says then; clients clean up by it. */
function noSwarm(): never {
  throw new UmiakError('ServiceUnavailable', 'This node is not part of a swarm');
}

function ping({ response }: DockerRequest): void {
  const headers = {
    'content-type': 'text/plain; charset=utf-8',
    'cache-control': 'no-cache, no-store, must-revalidate',
    pragma: 'no-cache',
  };
  response.writeHead(200, { ...headers, 'content-length': 2, 'builder-version': '1', swarm: 'inactive' }).end('OK');
}

function version({ context, response, apiMinor }: DockerRequest): void {
  sendJson(response, 200, toVersion(context.version, { kernel: release(), platform: hostPlatform() }, apiMinor));
}

async function info({ context, response, apiMinor }: DockerRequest): Promise<void> {
  const { readMachineFacts } = await import('./machine-facts.ts');
  const daemon = daemonFacts(context);
  const { containers } = context;
  const states = containers?.all().map(container => containers.statusOf(container)) ?? [];
  const running = states.filter(state => state === 'running' || state === 'restarting').length;
  const paused = states.filter(state => state === 'paused').length;
  const counts = {
    images: (await context.images.list()).length,
    running,
    paused,
    stopped: states.length - running - paused,
    listeners: context.journal?.listenerCount ?? 0,
    nowMs: context.clock.now(),
  };
  sendJson(response, 200, toInfo(daemon, readMachineFacts(daemon.dataDir), counts, apiMinor));
}

async function diskUsage(request: DockerRequest): Promise<void> {
  const { readDiskUsage } = await import('./disk-usage.ts');
  sendJson(request.response, 200, await readDiskUsage(request.context, request.query.getAll('type'), request.apiMinor));
}

/** What the agent does not tell is docker's usual. */
function daemonFacts({ daemon, version }: DockerContext): DaemonFacts {
  const { dataDir = '/var/lib/umiak' } = daemon;
  return {
    id: idOf(dataDir),
    version,
    dataDir,
    cgroupDriver: 'cgroupfs',
    defaultRuntime: 'crun',
    runtimes: ['crun'],
    logDrivers: ['journald', 'json-file', 'local', 'none', 'syslog'],
    networkDrivers: ['bridge', 'host', 'macvlan', 'null'],
    insecureRegistries: [],
    proxy: {},
    cdiDirectories: ['/etc/cdi', '/var/run/cdi'],
    ...daemon,
  };
}

/** Of this machine's and the instance's own, in a UUID's form. */
function idOf(dataDir: string): string {
  const hex = createHash('sha256').update(`${machineId()}\0${dataDir}`).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join('-');
}

function machineId(): string {
  try {
    return readFileSync('/etc/machine-id', 'utf8').trim();
  } catch {
    return '';
  }
}
