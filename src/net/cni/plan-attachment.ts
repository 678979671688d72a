import { UmiakError } from '#base/errors.ts';
import { quantityValue } from '#base/quantity.ts';
import type { NetworkConfigList } from './cni-types.ts';
import type { Attachment } from './plan-request.ts';

/** What of a sandbox its network's plugins may want to know. */
export interface CniSandbox {
  id: string;
  /** Its pinned network namespace. */
  netns: string;
  metadata: { name: string; namespace: string; uid: string };
  ports?: readonly { protocol: string; containerPort: number; hostPort: number; hostIp?: string }[] | undefined;
  dns?: { servers: string[]; searches: string[]; options: string[] } | undefined;
  annotations?: Readonly<Record<string, string>> | undefined;
}

/** The link inside; Kubernetes asks for its addresses by this name. */
const IF_NAME = 'eth0';
/** As much as plugins that count in 32 bits can hold: only the rate limits. */
const BURST_BITS = 2 ** 31 - 1;

/** A sandbox's place in a network: names for CNI_ARGS, and what plugins with capabilities get. Pure. */
export function planAttachment({ id, netns, metadata, ports = [], dns, annotations = {} }: CniSandbox): Attachment {
  const bandwidth = {
    ...rate('ingress', annotations['kubernetes.io/ingress-bandwidth']),
    ...rate('egress', annotations['kubernetes.io/egress-bandwidth']),
  };
  return {
    containerId: id,
    netns,
    ifName: IF_NAME,
    args: [
      ['IgnoreUnknown', '1'],
      ['K8S_POD_NAMESPACE', metadata.namespace],
      ['K8S_POD_NAME', metadata.name],
      ['K8S_POD_INFRA_CONTAINER_ID', id],
      ['K8S_POD_UID', metadata.uid],
    ],
    capabilityArgs: {
      ...(ports.length > 0
        ? {
            portMappings: ports.map(({ protocol, containerPort, hostPort, hostIp }) => ({
              hostPort,
              containerPort,
              protocol,
              ...(hostIp ? { hostIP: hostIp } : {}),
            })),
          }
        : {}),
      ...(dns ? { dns } : {}),
      ...(Object.keys(bandwidth).length > 0 ? { bandwidth } : {}),
      ...(Object.keys(annotations).length > 0 ? { 'io.kubernetes.cri.pod-annotations': annotations } : {}),
    },
  };
}

/** Capabilities whose absence would be noticed by whoever asked for them. */
const NEEDED = { portMappings: 'host ports', bandwidth: 'bandwidth annotations' } as const;

/**
 * Everything that was asked for is some plugin's work. Pure.
 * @throws UmiakError `Invalid` naming what no plugin does
 */
export function checkCapabilities({ name, plugins }: NetworkConfigList, { capabilityArgs }: Attachment): void {
  for (const [capability, what] of Object.entries(NEEDED)) {
    if (!(capability in capabilityArgs) || plugins.some(({ capabilities }) => capabilities?.[capability] === true)) continue;
    throw new UmiakError('Invalid', `the sandbox asks for ${what}, and no plugin of CNI network ${name} has the capability ${capability}`, {
      hint: `Add a plugin that has it to the network's configuration (${capability === 'bandwidth' ? 'bandwidth' : 'portmap'}), or ask for none.`,
    });
  }
}

function rate(direction: 'ingress' | 'egress', quantity: string | undefined): Record<string, number> {
  if (quantity === undefined) return {};
  return { [`${direction}Rate`]: quantityValue(quantity), [`${direction}Burst`]: BURST_BITS };
}
