import type { FieldCause } from '#base/errors.ts';
import { isSidecar } from './pod-resources.ts';
import { validateId } from './security-validation.ts';
import type { Container, ContainerStatus, Pod, PodSpec, PodStatus } from './types.gen.ts';
import {
  checkDnsLabel,
  checkDnsSubdomain,
  checkIp,
  checkQualifiedName,
  duplicate,
  forbidden,
  invalid,
  isIpv6,
  notSupported,
  required,
  validateImmutable,
} from './validation.ts';

const SYSTEM_CONDITIONS = ['PodScheduled', 'Ready', 'Initialized'];
const HEALTHS = ['Healthy', 'Unhealthy', 'Unknown'];
const NEGATIVE = 'must be a non-negative integer';

/** Fields that a status may leave out or say in two ways: the class stays, `podIP` is the first of `podIPs`. */
export function preparePodStatus({ status = {} }: Pod, { status: old = {} }: Pod): void {
  if (old.qosClass) status.qosClass ||= old.qosClass;
  const first = status.podIPs?.[0]?.ip;
  if (first) status.podIP = first;
  else if (status.podIP) status.podIPs = [{ ip: status.podIP }];
}

/** What a pod's status may say. */
export function validatePodStatusUpdate({ spec, status = {} }: Pod, { spec: oldSpec, status: old = {} }: Pod): FieldCause[] {
  const causes: FieldCause[] = [];
  status.conditions?.forEach(({ type, observedGeneration = 0 }, i) => {
    const at = `status.conditions[${i}]`;
    if (observedGeneration < 0) causes.push(invalid(`${at}.observedGeneration`, observedGeneration, NEGATIVE));
    if (!SYSTEM_CONDITIONS.includes(type)) causes.push(...checkQualifiedName(type).map(why => invalid(`${at}.Type`, type, why)));
  });
  causes.push(...validateNominated(status.nominatedNodeName, old.nominatedNodeName, oldSpec.nodeName));
  if ((status.observedGeneration ?? 0) < 0) causes.push(invalid('status.observedGeneration', status.observedGeneration, NEGATIVE));
  causes.push(...validateImmutable(status.qosClass || undefined, old.qosClass || undefined, 'status.qosClass'));
  causes.push(...validateTransitions(status, old, oldSpec), ...validateClaimStatuses(status, spec));
  causes.push(...validateAddresses(status.podIPs, old.podIPs, 'status.podIPs'));
  if (status.hostIPs?.length && (status.hostIP ?? '') !== status.hostIPs[0]?.ip)
    causes.push(invalid('status.hostIPs[0].ip', status.hostIPs[0]?.ip, 'must be equal to `hostIP`'));
  causes.push(...validateAddresses(status.hostIPs, old.hostIPs, 'status.hostIPs'));
  for (const list of ['containerStatuses', 'initContainerStatuses', 'ephemeralContainerStatuses'] as const)
    status[list]?.forEach((container, i) => {
      causes.push(...validateContainerStatus(container, spec, list === 'ephemeralContainerStatuses', `status.${list}[${i}]`));
    });
  return causes;
}

function validateNominated(now = '', before = '', nodeName = ''): FieldCause[] {
  if (now === '' || now === before) return [];
  const field = 'status.nominatedNodeName';
  const causes = checkDnsSubdomain(now).map(why => invalid(field, now, why));
  return nodeName ? [...causes, forbidden(field, 'may not be set on pods that are already bound to a node')] : causes;
}

/** A container that has ended for good does not come back. */
function validateTransitions(status: PodStatus, old: PodStatus, spec: PodSpec): FieldCause[] {
  const causes: FieldCause[] = [];
  const all = [...spec.containers, ...(spec.initContainers ?? [])];
  if (all.some(one => one.restartPolicyRules?.some(({ action }) => action === 'RestartAllContainers'))) return causes;
  const check = (list: 'containerStatuses' | 'initContainerStatuses' | 'ephemeralContainerStatuses', containers: Container[]) =>
    old[list]?.forEach(({ name, state: before }, i) => {
      if (!before?.terminated) return;
      const now = status[list]?.find(one => one.name === name);
      if (!now || now.state?.terminated) return;
      const container = containers.find(one => one.name === name);
      if (container && mayRestart(container, spec, before.terminated.exitCode)) return;
      causes.push(forbidden(`status.${list}[${i}].state`, 'may not be transitioned to non-terminated state'));
    });
  check('containerStatuses', spec.containers);
  check('initContainerStatuses', spec.initContainers ?? []);
  check('ephemeralContainerStatuses', []);
  return causes;
}

function mayRestart(container: Container, spec: PodSpec, exitCode: number): boolean {
  const rule = container.restartPolicyRules?.find(({ exitCodes }) => {
    const has = exitCodes?.values?.includes(exitCode) ?? false;
    return exitCodes?.operator === 'NotIn' ? !has : has;
  });
  if (rule) return rule.action === 'Restart';
  if (isSidecar(container)) return true;
  const policy = container.restartPolicy ?? spec.restartPolicy ?? 'Always';
  return policy === 'Always' || (policy === 'OnFailure' && exitCode !== 0);
}

function validateClaimStatuses(
  { resourceClaimStatuses = [], extendedResourceClaimStatus: extended }: PodStatus,
  spec: PodSpec,
): FieldCause[] {
  const causes: FieldCause[] = [];
  const seen = new Set<string>();
  resourceClaimStatuses.forEach(({ name, resourceClaimName: claim }, i) => {
    const at = `status.resourceClaimStatuses[${i}]`;
    if (!spec.resourceClaims?.some(one => one.name === name))
      causes.push(invalid(`${at}.name`, name, 'must match the name of an entry in `spec.resourceClaims`'));
    if (seen.has(name)) causes.push(duplicate(`${at}.name`, name));
    seen.add(name);
    if (claim !== undefined) causes.push(...checkDnsSubdomain(claim).map(why => invalid(`${at}.resourceClaimName`, claim, why)));
  });
  if (!extended) return causes;
  const at = 'status.extendedResourceClaimStatus';
  const { requestMappings = [], resourceClaimName } = extended;
  if (requestMappings.length === 0) causes.push(required(`${at}.requestMappings`, 'at least one request mapping is required'));
  requestMappings.forEach(({ containerName, resourceName, requestName }, i) => {
    const container = [...spec.containers, ...(spec.initContainers ?? [])].find(({ name }) => name === containerName);
    const field = `${at}.requestMappings[${i}]`;
    if (!container)
      causes.push(
        invalid(
          `${field}.containerName`,
          containerName,
          'must match the name of an entry in spec.initContainers.name or spec.containers.name',
        ),
      );
    else if (container.resources?.requests?.[resourceName] === undefined)
      causes.push(
        invalid(
          `${field}.resourceName`,
          resourceName,
          'must match the extended resource name of an entry in spec.initContainers.resources.requests or spec.containers.resources.requests',
        ),
      );
    causes.push(...checkDnsLabel(requestName).map(why => invalid(`${at}.requestName`, requestName, why)));
  });
  if (!resourceClaimName) causes.push(required(`${at}.resourceClaimName`));
  else causes.push(...checkDnsSubdomain(resourceClaimName).map(why => invalid(`${at}.resourceClaimName`, resourceClaimName, why)));
  return causes;
}

/** Addresses that were there before may stay, whatever they are. */
function validateAddresses(now: { ip: string }[] = [], before: { ip: string }[] = [], field: string): FieldCause[] {
  const causes = now.flatMap(({ ip }, i) =>
    before.some(one => one.ip === ip) ? [] : checkIp(ip).map(why => invalid(`${field}[${i}]`, ip, why)),
  );
  const sixes = now.filter(({ ip }) => isIpv6(ip)).length;
  if (now.length > 2 || (now.length === 2 && sixes !== 1))
    causes.push(invalid(field, now, 'may specify no more than one IP for each IP family'));
  return causes;
}

function validateContainerStatus(status: ContainerStatus, spec: PodSpec, isEphemeral: boolean, at: string): FieldCause[] {
  const causes: FieldCause[] = [];
  const { user, allocatedResourcesStatus: allocated = [] } = status;
  if (user?.linux) {
    const path = `${at}.user.linux`;
    if (spec.os?.name === 'windows') causes.push(forbidden(path, 'cannot be set for a windows pod'));
    else {
      causes.push(...validateId(user.linux.uid, `${path}.uid`), ...validateId(user.linux.gid, `${path}.gid`));
      user.linux.supplementalGroups?.forEach((gid, i) => {
        causes.push(...validateId(gid, `${path}.supplementalGroups[${i}]`));
      });
    }
  }
  if (isEphemeral)
    return allocated.length > 0
      ? [...causes, forbidden(`${at}.allocatedResourcesStatus`, 'must not be specified in container status')]
      : causes;
  allocated.forEach(({ resources = [] }, i) => {
    resources.forEach(({ health = '' }, j) => {
      if (!HEALTHS.includes(health))
        causes.push(notSupported(`${at}.allocatedResourcesStatus[${i}].resources[${j}].health`, health, HEALTHS));
    });
  });
  return causes;
}
