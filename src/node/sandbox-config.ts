import { UmiakError } from '#base/errors.ts';
import type { PublishedPort, SandboxConfig } from '#engine/engine.ts';
import type { Pod } from '#kinds/pod.ts';
import { planPodResources } from './plan-container-resources.ts';
import { isSidecar } from './plan-pod.ts';

export interface SandboxPlannerOptions {
  /** The cluster DNS server's address as pods see it. */
  clusterDns: string;
  clusterDomain: string;
  /** The machine's own resolv.conf, for dnsPolicy Default and hostNetwork. */
  hostDns: { servers: string[]; searches: string[]; options: string[] };
  /** `/var/log/pods`-like directory of this instance. */
  podLogDirectory: string;
}

/** Linux's own bound. */
const MOST_HOSTNAME_CHARACTERS = 64;

/** Turns a pod's spec into its sandbox. Pure. */
export class SandboxPlanner {
  readonly #options: SandboxPlannerOptions;

  constructor(options: SandboxPlannerOptions) {
    this.#options = options;
  }

  plan(pod: Pod, attempt: number): SandboxConfig {
    const { metadata, spec } = pod;
    const namespace = metadata.namespace ?? 'default';
    const fqdn = fqdnOf(pod, this.#options.clusterDomain);
    const sysctls = Object.fromEntries((spec.securityContext?.sysctls ?? []).map(({ name, value }) => [name, value]));
    return {
      owner: 'node',
      metadata: { name: metadata.name, namespace, uid: metadata.uid, attempt },
      hostname: spec.hostnameOverride ?? (spec.setHostnameAsFQDN && fqdn ? checkHostname(fqdn) : hostnameOf(pod)),
      ...(fqdn ? { fqdn } : {}),
      network: spec.hostNetwork ? 'host' : 'pod',
      pid: spec.hostPID ? 'host' : spec.shareProcessNamespace ? 'pod' : 'container',
      ipc: spec.hostIPC ? 'host' : 'pod',
      ...(spec.hostUsers === false ? { ownUsers: true } : {}),
      dns: this.#dns(pod),
      hostAliases: (spec.hostAliases ?? []).map(({ ip, hostnames }) => ({ ip, hostnames: hostnames ?? [] })),
      cgroupParent: cgroupParentOf(pod),
      ...(spec.resources ? { resources: planPodResources(pod) } : {}),
      sysctls,
      ...(spec.hostNetwork ? {} : { ports: publishedPorts(pod) }),
      labels: {
        ...metadata.labels,
        'io.kubernetes.pod.name': metadata.name,
        'io.kubernetes.pod.namespace': namespace,
        'io.kubernetes.pod.uid': metadata.uid,
      },
      annotations: { ...metadata.annotations },
      logDirectory: `${this.#options.podLogDirectory}/${namespace}_${metadata.name}_${metadata.uid}`,
    };
  }

  /** resolv.conf by dnsPolicy, with dnsConfig's additions. */
  #dns({ metadata, spec }: Pod): { servers: string[]; searches: string[]; options: string[] } {
    const { clusterDns, clusterDomain, hostDns } = this.#options;
    const { nameservers = [], searches = [], options = [] } = spec.dnsConfig ?? {};
    const added = options.map(({ name, value }) => (value === undefined ? (name ?? '') : `${name}:${value}`));
    const policy = spec.dnsPolicy ?? 'ClusterFirst';
    const cluster = policy === 'ClusterFirstWithHostNet' || (policy === 'ClusterFirst' && !spec.hostNetwork);
    const base =
      policy === 'None'
        ? { servers: [], searches: [], options: [] }
        : cluster
          ? {
              servers: [clusterDns],
              searches: [`${metadata.namespace}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain, ...hostDns.searches],
              options: ['ndots:5'],
            }
          : hostDns;
    return {
      servers: [...new Set([...base.servers, ...nameservers])].slice(0, 3),
      searches: [...new Set([...base.searches, ...searches])].slice(0, 32),
      options: [...new Map([...base.options, ...added].map(option => [option.split(':')[0], option])).values()],
    };
  }
}

/** `spec.hostname`, or the pod's name, cut to what a host name may be long. */
export function hostnameOf({ metadata, spec }: Pod): string {
  return (spec.hostname || metadata.name).slice(0, 63).replace(/[-.]+$/, '');
}

/** `HOSTNAME.SUBDOMAIN.NAMESPACE.svc.DOMAIN` of a pod that names its subdomain, and does not override its host name. */
function fqdnOf(pod: Pod, clusterDomain: string): string | undefined {
  const { subdomain, hostnameOverride } = pod.spec;
  return subdomain && hostnameOverride === undefined
    ? `${hostnameOf(pod)}.${subdomain}.${pod.metadata.namespace ?? 'default'}.svc.${clusterDomain}`
    : undefined;
}

/** @throws `Invalid` for one that the kernel does not take */
function checkHostname(fqdn: string): string {
  if (fqdn.length <= MOST_HOSTNAME_CHARACTERS) return fqdn;
  throw new UmiakError(
    'Invalid',
    `failed to construct FQDN from pod hostname and cluster domain, FQDN ${fqdn} is too long (${MOST_HOSTNAME_CHARACTERS} characters is the max, ${fqdn.length} characters requested)`,
  );
}

/** `burstable/pod<uid>`, `besteffort/pod<uid>`, `pod<uid>`: the kubelet's tree by quality of service. */
export function cgroupParentOf({ metadata, status }: Pod): string {
  const quality = status?.qosClass === 'Guaranteed' ? '' : status?.qosClass === 'Burstable' ? 'burstable/' : 'besteffort/';
  return `${quality}pod${metadata.uid}`;
}

/** The `hostPort`s of the containers that stay; those of init containers are nobody's, as with the kubelet. */
function publishedPorts({ spec }: Pod): PublishedPort[] {
  const containers = [...(spec.initContainers ?? []).filter(isSidecar), ...spec.containers];
  return containers.flatMap(({ ports = [] }) =>
    ports.flatMap(({ protocol = 'TCP', containerPort, hostPort, hostIP }) =>
      hostPort
        ? [
            {
              protocol: protocol.toLowerCase() as PublishedPort['protocol'],
              containerPort,
              hostPort,
              ...(hostIP && hostIP !== '0.0.0.0' ? { hostIp: hostIP } : {}),
            },
          ]
        : [],
    ),
  );
}
