import { examine, type Finding } from '#engine/doctor/index.ts';
import { type Config, derivedAddresses, pathsOf } from './config.ts';
import { stateNow } from './control-socket.ts';

/** Looks at the machine for the instance that is configured, whether it runs or not. */
export async function examineMachine(config: Config): Promise<Finding[]> {
  const { gateway } = derivedAddresses(config);
  const paths = pathsOf(config);
  const states = await Promise.all((['server', 'agent'] as const).map(role => stateNow(paths.control(role))));
  const api = { protocol: 'tcp', port: config.apiAddress.port, remedy: 'End that program, or choose another --api-address.' } as const;
  const dns = {
    port: 53,
    host: gateway,
    remedy: `Let that program listen on other addresses than ${gateway}, or choose another --pod-cidr.`,
  };
  return await examine({
    instance: config.name,
    dataDir: config.dataDir,
    runtime: config.runtime,
    runtimes: config.runtimes,
    podCidr: config.podCidr,
    serviceCidr: config.serviceCidr,
    nodePortRange: config.nodePortRange,
    wanted: [
      { what: 'API', host: config.apiAddress.host, ...api },
      { what: 'API for pods', host: gateway, ...api },
      { what: 'DNS', protocol: 'udp', ...dns },
      { what: 'DNS over TCP', protocol: 'tcp', ...dns },
    ],
    ownPids: states.flatMap(state => state?.pid ?? []),
    nowMs: Date.now(),
  });
}
