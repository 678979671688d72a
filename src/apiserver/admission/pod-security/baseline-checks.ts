import type { LifecycleHandler, Probe, SELinuxOptions } from '#kinds/types.gen.ts';
import type { Check } from './checks.ts';
import { type CheckedPod, containersText, containersWith, plural, quoted, settersText, sortedSet, type Violation } from './violations.ts';

const DEFAULT_CAPABILITIES = new Set(
  'AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT'.split(' '),
);
const SELINUX_TYPES = ['', 'container_t', 'container_init_t', 'container_kvm_t'];
const APPARMOR_PREFIX = 'container.apparmor.security.beta.kubernetes.io/';
/** Safe sysctls, by the release that began to allow them. */
const SYSCTLS: [since: number, names: string][] = [
  [
    0,
    'kernel.shm_rmid_forced net.ipv4.ip_local_port_range net.ipv4.tcp_syncookies net.ipv4.ping_group_range net.ipv4.ip_unprivileged_port_start',
  ],
  [27, 'net.ipv4.ip_local_reserved_ports'],
  [29, 'net.ipv4.tcp_keepalive_time net.ipv4.tcp_fin_timeout net.ipv4.tcp_keepalive_intvl net.ipv4.tcp_keepalive_probes'],
  [32, 'net.ipv4.tcp_rmem net.ipv4.tcp_wmem'],
];
const SECCOMP_TYPES = ['Localhost', 'RuntimeDefault'];
const SECCOMP_POD = 'seccomp.security.alpha.kubernetes.io/pod';
const SECCOMP_CONTAINER = 'container.seccomp.security.alpha.kubernetes.io/';

/** What `baseline` forbids, in upstream's order and words. */
export const baselineChecks: readonly Check[] = [
  { id: 'appArmorProfile', since: 0, check: appArmor },
  { id: 'capabilities_baseline', since: 0, until: { restricted: 22 }, check: capabilities },
  { id: 'hostNamespaces', since: 0, check: hostNamespaces },
  { id: 'hostPathVolumes', since: 0, until: { restricted: 0 }, check: hostPaths },
  { id: 'hostPorts', since: 0, check: hostPorts },
  { id: 'hostProbesAndHostLifecycle', since: 34, check: probeHosts },
  { id: 'privileged', since: 0, check: privileged },
  { id: 'procMount', since: 0, check: procMount },
  { id: 'seLinuxOptions', since: 0, check: seLinux },
  { id: 'seccompProfile_baseline', since: 0, until: { restricted: 19 }, check: seccomp },
  { id: 'sysctls', since: 0, check: sysctls },
  { id: 'windowsHostProcess', since: 0, check: hostProcess },
];

function appArmor(pod: CheckedPod): Violation | undefined {
  const annotated = Object.entries(pod.metadata.annotations ?? {})
    .filter(([key, value]) => key.startsWith(APPARMOR_PREFIX) && !/^(?:|runtime\/default|localhost\/.*)$/s.test(value))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  const isBad = (type: string | undefined) => type !== undefined && !SECCOMP_TYPES.includes(type);
  const own = pod.spec.securityContext?.appArmorProfile?.type;
  const bad = containersWith(pod, ({ appArmorProfile }) => isBad(appArmorProfile?.type));
  const setters = settersText(isBad(own), bad);
  const values = [...(isBad(own) ? [own!] : []), ...bad.map(each => each.securityContext?.appArmorProfile?.type ?? '')];
  const set = setters ? [`${setters} must not set AppArmor profile type to ${quoted(sortedSet(values))}`] : [];
  const all = [...set, ...annotated.sort()];
  return all.length > 0 ? { reason: plural('forbidden AppArmor profile', all.length), detail: all.join(', ') } : undefined;
}

function capabilities(pod: CheckedPod): Violation | undefined {
  const beyond = (names: string[] = []) => names.filter(name => !DEFAULT_CAPABILITIES.has(name));
  const bad = containersWith(pod, ({ capabilities: own }) => beyond(own?.add).length > 0);
  if (bad.length === 0) return undefined;
  const names = sortedSet(bad.flatMap(({ securityContext }) => beyond(securityContext?.capabilities?.add)));
  return {
    reason: 'non-default capabilities',
    detail: `${containersText(bad)} must not include ${quoted(names)} in securityContext.capabilities.add`,
  };
}

function hostNamespaces({ spec }: CheckedPod): Violation | undefined {
  const used = (['hostNetwork', 'hostPID', 'hostIPC'] as const).filter(field => spec[field]).map(field => `${field}=true`);
  return used.length > 0 ? { reason: 'host namespaces', detail: used.join(', ') } : undefined;
}

function hostPaths({ spec }: CheckedPod): Violation | undefined {
  const names = (spec.volumes ?? []).filter(({ hostPath }) => hostPath).map(({ name }) => name);
  return names.length > 0 ? { reason: 'hostPath volumes', detail: `${plural('volume', names.length)} ${quoted(names)}` } : undefined;
}

function hostPorts(pod: CheckedPod): Violation | undefined {
  const bad = pod.containers.filter(({ ports }) => ports?.some(({ hostPort }) => hostPort));
  if (bad.length === 0) return undefined;
  const ports = sortedSet(bad.flatMap(each => (each.ports ?? []).flatMap(({ hostPort }) => (hostPort ? [String(hostPort)] : []))));
  const word = plural('hostPort', ports.length);
  return { reason: word, detail: `${containersText(bad)} ${bad.length === 1 ? 'uses' : 'use'} ${word} ${ports.join(', ')}` };
}

function probeHosts(pod: CheckedPod): Violation | undefined {
  const hostsOf = (handler: LifecycleHandler | Probe | undefined) => [handler?.httpGet?.host, handler?.tcpSocket?.host];
  const found = pod.containers.map(container => {
    const { livenessProbe, readinessProbe, startupProbe, lifecycle } = container;
    const handlers = [livenessProbe, readinessProbe, startupProbe, lifecycle?.postStart, lifecycle?.preStop];
    return { container, hosts: handlers.flatMap(hostsOf).flatMap(host => host || []) };
  });
  const bad = found.filter(({ hosts }) => hosts.length > 0);
  if (bad.length === 0) return undefined;
  const hosts = sortedSet(bad.flatMap(each => each.hosts));
  const names = sortedSet(bad.map(({ container }) => container.name)).map(name => ({ name }));
  return {
    reason: 'probe or lifecycle host',
    detail: `${containersText(names)} ${names.length === 1 ? 'uses' : 'use'} ${plural('probe or lifecycle host', hosts.length)} ${quoted(hosts)}`,
  };
}

function privileged(pod: CheckedPod): Violation | undefined {
  const bad = containersWith(pod, context => context.privileged);
  return bad.length > 0
    ? { reason: 'privileged', detail: `${containersText(bad)} must not set securityContext.privileged=true` }
    : undefined;
}

function procMount(pod: CheckedPod): Violation | undefined {
  const bad = containersWith(pod, context => context.procMount !== undefined && context.procMount !== 'Default');
  if (bad.length === 0) return undefined;
  const values = sortedSet(bad.map(({ securityContext }) => securityContext?.procMount ?? ''));
  return { reason: 'procMount', detail: `${containersText(bad)} must not set securityContext.procMount to ${quoted(values)}` };
}

function seLinux(pod: CheckedPod, version: number): Violation | undefined {
  const allowed = version >= 31 ? [...SELINUX_TYPES, 'container_engine_t'] : SELINUX_TYPES;
  const isBad = (options: SELinuxOptions | undefined) => options && (!allowed.includes(options.type ?? '') || options.user || options.role);
  const own = pod.spec.securityContext?.seLinuxOptions;
  const bad = containersWith(pod, ({ seLinuxOptions }) => Boolean(isBad(seLinuxOptions)));
  const setters = settersText(Boolean(isBad(own)), bad);
  if (!setters) return undefined;
  const all = [own, ...bad.map(({ securityContext }) => securityContext?.seLinuxOptions)];
  const types = sortedSet(all.flatMap(each => (each?.type && !allowed.includes(each.type) ? [each.type] : [])));
  const data = types.length > 0 ? [`${plural('type', types.length)} ${quoted(types)}`] : [];
  if (all.some(each => each?.user)) data.push('user may not be set');
  if (all.some(each => each?.role)) data.push('role may not be set');
  return { reason: 'seLinuxOptions', detail: `${setters} set forbidden securityContext.seLinuxOptions: ${data.join('; ')}` };
}

function seccomp(pod: CheckedPod, version: number): Violation | undefined {
  return version >= 19 ? seccompFields(pod) : seccompAnnotations(pod);
}

/** A profile that is set has to be one of the known; `restricted` builds on this. */
export function seccompFields(pod: CheckedPod): Violation | undefined {
  const isBad = (type: string | undefined) => type !== undefined && !SECCOMP_TYPES.includes(type);
  const own = pod.spec.securityContext?.seccompProfile?.type;
  const bad = containersWith(pod, ({ seccompProfile }) => isBad(seccompProfile?.type));
  const setters = settersText(isBad(own), bad);
  if (!setters) return undefined;
  const values = [...(isBad(own) ? [own!] : []), ...bad.map(({ securityContext }) => securityContext?.seccompProfile?.type ?? '')];
  return {
    reason: 'seccompProfile',
    detail: `${setters} must not set securityContext.seccompProfile.type to ${quoted(sortedSet(values))}`,
  };
}

function seccompAnnotations(pod: CheckedPod): Violation | undefined {
  const keys = [SECCOMP_POD, ...pod.containers.map(({ name }) => SECCOMP_CONTAINER + name)];
  const bad = keys.flatMap(key => {
    const value = pod.metadata.annotations?.[key];
    return value === undefined || /^(?:runtime\/default|docker\/default|localhost\/.*)$/s.test(value)
      ? []
      : [`${key}=${JSON.stringify(value)}`];
  });
  if (bad.length === 0) return undefined;
  return { reason: 'seccompProfile', detail: `forbidden ${plural('annotation', bad.length)} ${sortedSet(bad).join(', ')}` };
}

function sysctls({ spec }: CheckedPod, version: number): Violation | undefined {
  const allowed = new Set(SYSCTLS.filter(([since]) => version >= since).flatMap(([, names]) => names.split(' ')));
  const bad = (spec.securityContext?.sysctls ?? []).map(({ name }) => name).filter(name => !allowed.has(name));
  return bad.length > 0 ? { reason: plural('forbidden sysctl', bad.length), detail: bad.join(', ') } : undefined;
}

function hostProcess(pod: CheckedPod): Violation | undefined {
  const bad = containersWith(pod, ({ windowsOptions }) => windowsOptions?.hostProcess);
  const setters = settersText(pod.spec.securityContext?.windowsOptions?.hostProcess === true, bad);
  return setters ? { reason: 'hostProcess', detail: `${setters} must not set securityContext.windowsOptions.hostProcess=true` } : undefined;
}
