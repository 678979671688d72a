import { arch, availableParallelism, hostname, release, totalmem } from 'node:os';
import { hostPlatform } from '#images/oci.ts';
import { type DockerRequest, type Route, sendJson } from '../request.ts';

/** The newest and the oldest minor of Docker Engine API 1.x that we speak. */
export const VERSION_MINOR = 51;
export const OLDEST_MINOR = 24;

/** What docker's clients ask first: is somebody there, who, on what machine. */
export const systemRoutes: readonly Route[] = [
  ['GET', /^\/_ping$/, ping],
  ['HEAD', /^\/_ping$/, ping],
  ['GET', /^\/version$/, version],
  ['GET', /^\/info$/, info],
];

function ping({ response }: DockerRequest): void {
  const headers = {
    'content-type': 'text/plain; charset=utf-8',
    'cache-control': 'no-cache, no-store, must-revalidate',
    pragma: 'no-cache',
  };
  response.writeHead(200, { ...headers, 'content-length': 2, swarm: 'inactive' }).end('OK');
}

function version({ context, response }: DockerRequest): void {
  const facts = {
    Version: context.version,
    ApiVersion: `1.${VERSION_MINOR}`,
    MinAPIVersion: `1.${OLDEST_MINOR}`,
    Os: 'linux',
    Arch: hostPlatform().architecture,
    KernelVersion: release(),
  };
  const { Version, ...details } = facts;
  sendJson(response, 200, {
    Platform: { Name: 'Umiak' },
    Components: [{ Name: 'Engine', Version, Details: { ...details, Experimental: 'false' } }],
    ...facts,
    GitCommit: '',
    GoVersion: '',
  });
}

async function info({ context, response }: DockerRequest): Promise<void> {
  const images = await context.images.list();
  sendJson(response, 200, {
    ID: hostname(),
    Name: hostname(),
    Images: images.length,
    Driver: 'overlay2',
    OSType: 'linux',
    OperatingSystem: 'Linux',
    KernelVersion: release(),
    Architecture: { x64: 'x86_64', arm64: 'aarch64' }[arch() as string] ?? arch(),
    NCPU: availableParallelism(),
    MemTotal: totalmem(),
    ServerVersion: context.version,
    SystemTime: new Date(context.clock.now()).toISOString(),
    IndexServerAddress: 'https://index.docker.io/v1/',
    ExperimentalBuild: false,
    Swarm: { LocalNodeState: 'inactive' },
    Plugins: { Volume: [], Network: [], Authorization: null, Log: [] },
    RegistryConfig: { IndexConfigs: {}, InsecureRegistryCIDRs: ['127.0.0.0/8', '::1/128'], Mirrors: [] },
    Warnings: ["umiak: of docker's API this socket has images only; containers are seen by `umiak ps` and kubectl"],
    ...context.info(),
  });
}
