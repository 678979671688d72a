import type { FieldCause } from '#base/errors.ts';
import { validateAffinity, validateTolerations, validateTopologySpread } from './affinity-validation.ts';
import { validateContainers } from './container-validation.ts';
import { validatePodLevelResources } from './pod-level-resources.ts';
import { validateResources } from './resources-validation.ts';
import { validatePodSecurity } from './security-validation.ts';
import type { PodDNSConfig, PodSpec, PodTemplateSpec } from './types.gen.ts';
import {
  checkDnsLabel,
  checkDnsSubdomain,
  checkIp,
  checkQualifiedName,
  checkSearchDomain,
  duplicate,
  forbidden,
  invalid,
  required,
  tooLong,
  tooMany,
  validateAnnotations,
  validateEnum,
  validateLabels,
  validateName,
} from './validation.ts';
import { validateVolumes } from './volume-validation.ts';

/** The template of a workload's pods. */
export function validatePodTemplate({ metadata, spec }: PodTemplateSpec, path: string): FieldCause[] {
  const causes = validateLabels(metadata?.labels, `${path}.labels`);
  causes.push(...validateAnnotations(metadata?.annotations, `${path}.annotations`), ...validatePodSpec(spec, `${path}.spec`));
  if (spec.ephemeralContainers?.length)
    causes.push(forbidden(`${path}.spec.ephemeralContainers`, 'ephemeral containers not allowed in pod template'));
  return causes;
}

/** A pod's spec, alone or in a template. */
export function validatePodSpec(spec: PodSpec, path: string): FieldCause[] {
  const { volumes, causes } = validateVolumes(spec.volumes ?? [], `${path}.volumes`);
  causes.push(...validateContainers(spec, volumes, path), ...validateHostPorts(spec, path), ...validateEnums(spec, path));
  causes.push(...validateNames(spec, path), ...validateDns(spec, path), ...validateNumbers(spec, path), ...validatePodSecurity(spec, path));
  causes.push(...validateClaims(spec, path));
  causes.push(...validateLabels(spec.nodeSelector, `${path}.nodeSelector`), ...validateAffinity(spec.affinity, `${path}.affinity`));
  causes.push(...validateTolerations(spec.tolerations ?? [], `${path}.tolerations`));
  causes.push(...validateTopologySpread(spec.topologySpreadConstraints ?? [], `${path}.topologySpreadConstraints`));
  return causes;
}

function validateEnums(spec: PodSpec, path: string): FieldCause[] {
  return [
    ...validateEnum(spec.restartPolicy, ['Always', 'OnFailure', 'Never'], `${path}.restartPolicy`, true),
    ...validateEnum(spec.dnsPolicy, ['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None'], `${path}.dnsPolicy`, true),
    ...validateEnum(spec.preemptionPolicy, ['PreemptLowerPriority', 'Never'], `${path}.preemptionPolicy`),
    ...validateOs(spec, path),
  ];
}

function validateOs({ os }: PodSpec, path: string): FieldCause[] {
  if (!os) return [];
  return os.name ? validateEnum(os.name, ['linux', 'windows'], `${path}.os`) : [required(`${path}.os.name`)];
}

function validateNames(spec: PodSpec, path: string): FieldCause[] {
  const causes: FieldCause[] = [];
  for (const key of ['serviceAccountName', 'nodeName', 'priorityClassName'] as const)
    if (spec[key]) causes.push(...validateName(spec[key], checkDnsSubdomain, `${path}.${key}`));
  const { runtimeClassName } = spec;
  if (runtimeClassName !== undefined)
    causes.push(...checkDnsSubdomain(runtimeClassName).map(why => invalid(`${path}.runtimeClassName`, runtimeClassName, why)));
  for (const key of ['hostname', 'subdomain'] as const)
    if (spec[key]) causes.push(...validateName(spec[key], checkDnsLabel, `${path}.${key}`));
  spec.readinessGates?.forEach(({ conditionType }, i) => {
    causes.push(...checkQualifiedName(conditionType).map(why => invalid(`${path}.readinessGates[${i}].conditionType`, conditionType, why)));
  });
  const gates = new Set<string>();
  spec.schedulingGates?.forEach(({ name }, i) => {
    causes.push(...checkQualifiedName(name).map(why => invalid(`${path}.schedulingGates[${i}]`, name, why)));
    if (gates.has(name)) causes.push(duplicate(`${path}.schedulingGates[${i}]`, name));
    gates.add(name);
  });
  if (spec.nodeName && gates.size > 0)
    causes.push(forbidden(`${path}.nodeName`, 'cannot be set until all schedulingGates have been cleared'));
  return [...causes, ...validateHostnameOverride(spec, path)];
}

function validateHostnameOverride({ hostnameOverride, hostNetwork, setHostnameAsFQDN }: PodSpec, path: string): FieldCause[] {
  if (hostnameOverride === undefined) return [];
  const field = `${path}.hostnameOverride`;
  const causes: FieldCause[] = [];
  if (setHostnameAsFQDN) causes.push(forbidden(field, 'may not be specified when setHostnameAsFQDN is true'));
  if (hostNetwork) causes.push(forbidden(field, 'may not be specified when hostNetwork is true'));
  if (hostnameOverride.length > 64) causes.push(tooLong(field, 64));
  return [...causes, ...checkDnsSubdomain(hostnameOverride).map(why => invalid(field, hostnameOverride, why))];
}

/** Devices that the pod claims, and what it costs besides its containers. */
function validateClaims(spec: PodSpec, path: string): FieldCause[] {
  const { resourceClaims = [], overhead } = spec;
  const causes = overhead ? validateResources({ limits: overhead }, `${path}.overhead`) : [];
  const names = new Set<string>();
  resourceClaims.forEach(({ name, resourceClaimName, resourceClaimTemplateName: template }, i) => {
    const at = `${path}.resourceClaims[${i}]`;
    causes.push(...validateName(name, checkDnsLabel, `${at}.name`));
    if (names.has(name)) causes.push(duplicate(`${at}.name`, name));
    names.add(name);
    if (resourceClaimName !== undefined && template !== undefined)
      causes.push(invalid(at, {}, 'at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified'));
    if (resourceClaimName === undefined && template === undefined)
      causes.push(invalid(at, {}, 'must specify one of: `resourceClaimName`, `resourceClaimTemplateName`'));
    for (const [key, value] of Object.entries({ resourceClaimName, resourceClaimTemplateName: template }))
      if (value !== undefined) causes.push(...checkDnsSubdomain(value).map(why => invalid(`${at}.${key}`, value, why)));
  });
  return [...causes, ...validatePodLevelResources(spec, names, path)];
}

function validateNumbers(spec: PodSpec, path: string): FieldCause[] {
  const causes: FieldCause[] = [];
  const { activeDeadlineSeconds } = spec;
  if (activeDeadlineSeconds !== undefined && (activeDeadlineSeconds < 1 || activeDeadlineSeconds > 2147483647))
    causes.push(invalid(`${path}.activeDeadlineSeconds`, activeDeadlineSeconds, 'must be between 1 and 2147483647, inclusive'));
  return causes;
}

function validateDns(spec: PodSpec, path: string): FieldCause[] {
  const causes: FieldCause[] = [];
  spec.hostAliases?.forEach(({ ip, hostnames = [] }, i) => {
    const at = `${path}.hostAliases[${i}]`;
    causes.push(...checkIp(ip).map(why => invalid(`${at}.ip`, ip, why)));
    hostnames.forEach((name, j) => {
      causes.push(...checkDnsSubdomain(name).map(why => invalid(`${at}.hostnames[${j}]`, name, why)));
    });
  });
  const { nameservers = [], searches = [], options = [] }: PodDNSConfig = spec.dnsConfig ?? {};
  const at = `${path}.dnsConfig`;
  if (spec.dnsPolicy === 'None') {
    if (!spec.dnsConfig) causes.push(required(at, 'must provide `dnsConfig` when `dnsPolicy` is None'));
    else if (nameservers.length === 0)
      causes.push(required(`${at}.nameservers`, 'must provide at least one DNS nameserver when `dnsPolicy` is None'));
  }
  if (nameservers.length > 3) causes.push(tooMany(`${at}.nameservers`, nameservers.length, 3));
  nameservers.forEach((ip, i) => {
    causes.push(...checkIp(ip).map(why => invalid(`${at}.nameservers[${i}]`, ip, why)));
  });
  if (searches.length > 32) causes.push(tooMany(`${at}.searches`, searches.length, 32));
  searches.forEach((search, i) => {
    const name = search.replace(/\.$/, '');
    if (search !== '.') causes.push(...checkSearchDomain(name).map(why => invalid(`${at}.searches[${i}]`, name, why)));
  });
  if (searches.join(' ').length > 2048)
    causes.push(invalid(`${at}.searches`, searches, 'must not have more than 2048 characters (including spaces) in the search list'));
  options.forEach(({ name }, i) => {
    if (!name) causes.push(required(`${at}.options[${i}]`, 'must not be empty'));
  });
  return causes;
}

/** No host port twice, and with the host's network every port is one of the host's. */
function validateHostPorts(spec: PodSpec, path: string): FieldCause[] {
  const causes: FieldCause[] = [];
  const taken = new Set<string>();
  const lists = { containers: spec.containers, initContainers: spec.initContainers?.filter(one => one.restartPolicy === 'Always') ?? [] };
  for (const [list, containers] of Object.entries(lists)) {
    containers.forEach((container, i) => {
      container.ports?.forEach(({ hostPort, hostIP = '', protocol = 'TCP', containerPort }, j) => {
        const at = `${path}.${list}[${i}].ports[${j}]`;
        if (spec.hostNetwork && hostPort !== containerPort)
          causes.push(invalid(`${at}.containerPort`, containerPort, 'must match `hostPort` when `hostNetwork` is true'));
        if (!hostPort) return;
        const key = `${protocol}/${hostIP}/${hostPort}`;
        if (taken.has(key)) causes.push(duplicate(`${at}.hostPort`, key));
        taken.add(key);
      });
    });
  }
  return causes;
}
