import { seccompFields } from './baseline-checks.ts';
import type { Check } from './checks.ts';
import { type CheckedPod, containersText, containersWith, plural, quoted, settersText, sortedSet, type Violation } from './violations.ts';

const VOLUMES = new Set('name configMap csi downwardAPI emptyDir ephemeral image persistentVolumeClaim projected secret'.split(' '));

/** What `restricted` asks for besides, in upstream's order and words. */
export const restrictedChecks: readonly Check[] = [
  { id: 'allowPrivilegeEscalation', since: 8, check: privilegeEscalation },
  { id: 'capabilities_restricted', since: 22, check: capabilities },
  { id: 'restrictedVolumes', since: 0, check: volumes },
  { id: 'runAsNonRoot', since: 0, check: runAsNonRoot },
  { id: 'runAsUser', since: 23, check: runAsUser },
  { id: 'seccompProfile_restricted', since: 19, check: seccomp },
];

/** Windows knows nothing of these since 1.25. */
function isWindows({ spec }: CheckedPod, version: number): boolean {
  return version >= 25 && spec.os?.name === 'windows';
}

function privilegeEscalation(pod: CheckedPod, version: number): Violation | undefined {
  if (isWindows(pod, version)) return undefined;
  const bad = containersWith(pod, ({ allowPrivilegeEscalation }) => allowPrivilegeEscalation !== false);
  if (bad.length === 0) return undefined;
  return {
    reason: 'allowPrivilegeEscalation != false',
    detail: `${containersText(bad)} must set securityContext.allowPrivilegeEscalation=false`,
  };
}

function capabilities(pod: CheckedPod, version: number): Violation | undefined {
  if (isWindows(pod, version)) return undefined;
  const beyond = (names: string[] = []) => names.filter(name => name !== 'NET_BIND_SERVICE');
  const keeping = containersWith(pod, ({ capabilities: own }) => !own?.drop?.includes('ALL'));
  const adding = containersWith(pod, ({ capabilities: own }) => beyond(own?.add).length > 0);
  const details = keeping.length > 0 ? [`${containersText(keeping)} must set securityContext.capabilities.drop=["ALL"]`] : [];
  if (adding.length > 0) {
    const names = sortedSet(adding.flatMap(({ securityContext }) => beyond(securityContext?.capabilities?.add)));
    details.push(`${containersText(adding)} must not include ${quoted(names)} in securityContext.capabilities.add`);
  }
  return details.length > 0 ? { reason: 'unrestricted capabilities', detail: details.join('; ') } : undefined;
}

function volumes({ spec }: CheckedPod): Violation | undefined {
  const bad = (spec.volumes ?? []).flatMap(volume => {
    const types = Object.keys(volume).filter(key => key !== 'name');
    return types.length > 0 && types.every(type => VOLUMES.has(type)) ? [] : [{ name: volume.name, type: types[0] ?? 'unknown' }];
  });
  if (bad.length === 0) return undefined;
  const types = sortedSet(bad.map(({ type }) => type));
  const who = `${plural('volume', bad.length)} ${quoted(bad.map(({ name }) => name))}`;
  return {
    reason: 'restricted volume types',
    detail: `${who} ${bad.length === 1 ? 'uses' : 'use'} ${plural('restricted volume type', types.length)} ${quoted(types)}`,
  };
}

function runAsNonRoot(pod: CheckedPod): Violation | undefined {
  const own = pod.spec.securityContext?.runAsNonRoot;
  const reason = 'runAsNonRoot != true';
  const setters = settersText(
    own === false,
    containersWith(pod, context => context.runAsNonRoot === false),
  );
  if (setters) return { reason, detail: `${setters} must not set securityContext.runAsNonRoot=false` };
  const silent = own ? [] : containersWith(pod, context => context.runAsNonRoot === undefined);
  return silent.length > 0 ? { reason, detail: `pod or ${containersText(silent)} must set securityContext.runAsNonRoot=true` } : undefined;
}

function runAsUser(pod: CheckedPod): Violation | undefined {
  const setters = settersText(
    pod.spec.securityContext?.runAsUser === 0,
    containersWith(pod, context => context.runAsUser === 0),
  );
  return setters ? { reason: 'runAsUser=0', detail: `${setters} must not set runAsUser=0` } : undefined;
}

function seccomp(pod: CheckedPod, version: number): Violation | undefined {
  if (isWindows(pod, version)) return undefined;
  const wrong = seccompFields(pod);
  if (wrong) return wrong;
  const silent = pod.spec.securityContext?.seccompProfile ? [] : containersWith(pod, ({ seccompProfile }) => seccompProfile === undefined);
  if (silent.length === 0) return undefined;
  return {
    reason: 'seccompProfile',
    detail: `pod or ${containersText(silent)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"`,
  };
}
