import { readFileSync } from 'node:fs';
import { UmiakError } from '#base/errors.ts';
import type { RunningStep, RunOptions } from '#builder/index.ts';
import { planConfig, planHostConfig } from '../containers/config.ts';
import { containerOf } from '../containers/validate.ts';
import { planContainerDns, planContainerHosts, planHostHosts } from '../networks/container-files.ts';
import type { DockerNetworks } from '../networks/docker-networks.ts';
import type { ContainerLookup, DockerContainer } from '../rooms.ts';
import type { BuildParameters } from './build-parameters.ts';

export interface StepNetworksOptions {
  networks: DockerNetworks;
  containers: ContainerLookup;
  /** Path of the machine's. */
  resolvConf: string;
  /** What `host-gateway` means. */
  hostGateway: string | undefined;
}

type Wishes = Pick<BuildParameters, 'networkMode' | 'extraHosts'>;
type NetworkOptions = Pick<RunOptions, 'network' | 'files' | 'attach'>;

const ENGINES_OWN: Readonly<Record<string, 'pod' | 'host' | 'none'>> = {
  '': 'pod',
  default: 'pod',
  bridge: 'pod',
  host: 'host',
  none: 'none',
};

/** They are there before the container is made, which binds them, and are written when it is attached. */
const UNWRITTEN = { hosts: '', resolvConf: '' };

/** The network that a build's commands have, as docker's containers would. @throws NotFound, Conflict in docker's words */
export function stepNetworkOf(wishes: Wishes, options: StepNetworksOptions): NetworkOptions {
  const { networks, containers } = options;
  const own = ENGINES_OWN[wishes.networkMode];
  if (own) return { network: own, files: filesOf(wishes, own, options) };
  const joined = containerOf(wishes.networkMode);
  if (joined === undefined) {
    const { name } = networks.book.need(wishes.networkMode);
    return { network: 'none', files: () => UNWRITTEN, attach: step => attach(step, { ...wishes, networkMode: name }, options) };
  }
  const other = containers.find(joined);
  if (other.engine.state !== 'running') throw new UmiakError('Conflict', `cannot join network of a non running container: ${joined}`);
  return { network: { of: other.sandboxId }, files: () => UNWRITTEN, attach: step => attach(step, wishes, options) };
}

/** `/etc/hosts` and `/etc/resolv.conf` in one of the engine's own networks. */
function filesOf(
  { extraHosts }: Wishes,
  network: 'pod' | 'host' | 'none',
  { resolvConf: path, hostGateway }: StepNetworksOptions,
): NonNullable<RunOptions['files']> {
  return ({ hostname, address }) => {
    const dns = planContainerDns(
      { Dns: [], DnsOptions: [], DnsSearch: [] },
      readFileSync(path, 'utf8'),
      network === 'host' ? 'host' : 'default',
    );
    const own = { hostname, domainname: '', addresses: address === undefined ? [] : [address], extraHosts, hostGateway, links: [] };
    return {
      hosts: network === 'host' ? planHostHosts(readFileSync('/etc/hosts', 'utf8'), extraHosts) : planContainerHosts(own),
      resolvConf: dns.resolvConf,
    };
  };
}

/** Puts a step into a network that somebody made, or another container's: to the networks it is a container like others. */
async function attach(
  step: RunningStep,
  { networkMode, extraHosts }: Wishes,
  { networks, containers }: StepNetworksOptions,
): Promise<AsyncDisposable> {
  const { container: engine, sandbox, hostname } = step;
  const name = `build-${hostname}`;
  const hostConfig = planHostConfig({ NetworkMode: networkMode, ExtraHosts: extraHosts }, { runtime: '', cgroupns: 'private' });
  const config = planConfig({ Hostname: hostname, Cmd: ['build'], HostConfig: hostConfig }, {}, engine.id);
  const endpoints = networks.planEndpoints({ name, config, hostConfig, endpoints: {}, lookup: containers });
  const container: DockerContainer = {
    id: engine.id,
    sandboxId: sandbox.id,
    owner: 'docker',
    name,
    data: { name, image: '', config, hostConfig, platform: 'linux', path: '', args: [], endpoints, mounts: [] },
    engine,
    sandbox,
  };
  await networks.connectUnlisted(container);
  return { [Symbol.asyncDispose]: () => networks.disconnectAll(container) };
}
