import { defaultPodLevelResources } from './pod-level-resources.ts';
import type { Container, EphemeralContainer, LifecycleHandler, PodSpec, Probe, Volume } from './types.gen.ts';

/** The least of an image's name: what is none has no tag either. */
const REFERENCE = /^[a-zA-Z0-9](?:[-\w.:/]*\w)?$/;
/** Octal 0644. */
const FILE_MODE = 0o644;

/** Fills in a pod's spec, alone or in a template. */
export function defaultPodSpec(spec: PodSpec): void {
  spec.restartPolicy ||= 'Always';
  spec.dnsPolicy ||= 'ClusterFirst';
  spec.schedulerName ||= 'default-scheduler';
  spec.terminationGracePeriodSeconds ??= 30;
  spec.securityContext ??= {};
  const account = spec.serviceAccountName || spec.serviceAccount;
  if (account) spec.serviceAccountName = spec.serviceAccount = account;
  for (const volume of spec.volumes ?? []) defaultVolume(volume);
  for (const container of spec.initContainers ?? []) defaultContainer(container);
  for (const container of spec.containers ?? []) defaultContainer(container);
  for (const container of spec.ephemeralContainers ?? []) defaultContainer(container);
}

/** Fills in what only pods have, not templates. */
export function defaultPod(spec: PodSpec): void {
  defaultPodSpec(spec);
  spec.enableServiceLinks ??= true;
  for (const key of ['hostNetwork', 'hostPID', 'hostIPC'] as const) if (spec[key] === false) delete spec[key];
  // Only a pod's own negative grace is taken for 1; a template's is refused.
  if ((spec.terminationGracePeriodSeconds ?? 0) < 0) spec.terminationGracePeriodSeconds = 1;
  for (const { resources, ports } of [...(spec.containers ?? []), ...(spec.initContainers ?? [])]) {
    if (spec.hostNetwork) for (const port of ports ?? []) port.hostPort ||= port.containerPort;
    if (!resources?.limits) continue;
    for (const resource of Object.keys(resources.limits)) {
      resources.requests ??= {};
      resources.requests[resource] ??= resources.limits[resource]!;
    }
  }
  if (spec.resources) defaultPodLevelResources(spec);
}

/** `Always` for `:latest` and for no tag at all, else `IfNotPresent`. */
export function defaultPullPolicy(image: string): 'Always' | 'IfNotPresent' {
  if (image.includes('@') || (image !== '' && !REFERENCE.test(image))) return 'IfNotPresent';
  const tag = image.slice(image.lastIndexOf(':') + 1);
  const hasTag = image.includes(':') && !tag.includes('/');
  return !hasTag || tag === 'latest' ? 'Always' : 'IfNotPresent';
}

function defaultContainer(container: Container | EphemeralContainer): void {
  container.imagePullPolicy ||= defaultPullPolicy(container.image ?? '');
  container.terminationMessagePath ||= '/dev/termination-log';
  container.terminationMessagePolicy ||= 'File';
  container.resources ??= {};
  for (const port of container.ports ?? []) port.protocol ||= 'TCP';
  for (const { valueFrom } of container.env ?? []) if (valueFrom?.fieldRef) valueFrom.fieldRef.apiVersion ??= 'v1';
  for (const probe of [container.livenessProbe, container.readinessProbe, container.startupProbe]) if (probe) defaultProbe(probe);
  for (const handler of [container.lifecycle?.postStart, container.lifecycle?.preStop]) if (handler) defaultHandler(handler);
}

function defaultProbe(probe: Probe): void {
  probe.timeoutSeconds ||= 1;
  probe.periodSeconds ||= 10;
  probe.successThreshold ||= 1;
  probe.failureThreshold ||= 3;
  if (probe.grpc) probe.grpc.service ??= '';
  defaultHandler(probe);
}

function defaultHandler({ httpGet }: LifecycleHandler | Probe): void {
  if (!httpGet) return;
  httpGet.path ||= '/';
  httpGet.scheme ||= 'HTTP';
}

function defaultVolume(volume: Volume): void {
  const { configMap, secret, downwardAPI, projected, hostPath, ephemeral, image } = volume;
  if (Object.keys(volume).length === 1) volume.emptyDir = {};
  if (configMap) configMap.defaultMode ??= FILE_MODE;
  if (secret) secret.defaultMode ??= FILE_MODE;
  if (hostPath) hostPath.type ??= '';
  if (image) image.pullPolicy ??= defaultPullPolicy(image.reference ?? '');
  if (ephemeral?.volumeClaimTemplate) ephemeral.volumeClaimTemplate.spec.volumeMode ??= 'Filesystem';
  if (downwardAPI) {
    downwardAPI.defaultMode ??= FILE_MODE;
    for (const { fieldRef } of downwardAPI.items ?? []) if (fieldRef) fieldRef.apiVersion ??= 'v1';
  }
  if (!projected) return;
  projected.defaultMode ??= FILE_MODE;
  for (const source of projected.sources ?? []) {
    if (source.serviceAccountToken) source.serviceAccountToken.expirationSeconds ??= 3600;
    for (const { fieldRef } of source.downwardAPI?.items ?? []) if (fieldRef) fieldRef.apiVersion ??= 'v1';
  }
}
