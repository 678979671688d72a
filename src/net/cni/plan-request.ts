import type { CniCommand, CniResult, NetworkConfigList, PluginConfig } from './cni-types.ts';
import { toVersion } from './result.ts';
import { isAtLeast } from './versions.ts';

/** A sandbox's place in a network. */
export interface Attachment {
  containerId: string;
  /** Empty when the namespace is gone, at DEL. */
  netns: string;
  ifName: string;
  /** `K8S_POD_NAME` and so on, in order. */
  args: readonly (readonly [name: string, value: string])[];
  /** By capability: `portMappings`, `dns`, `bandwidth`, `ipRanges`, … */
  capabilityArgs: Readonly<Record<string, unknown>>;
}

/** What GC keeps. */
export interface ValidAttachment {
  containerID: string;
  ifname: string;
}

/** What a plugin reads (spec, section 4: "Deriving execution configuration from plugin configuration"). Pure. */
export function planRequest(
  { name, cniVersion }: Pick<NetworkConfigList, 'name' | 'cniVersion'>,
  { capabilities = {}, ...plugin }: PluginConfig,
  {
    prevResult,
    capabilityArgs = {},
    valid,
  }: { prevResult?: CniResult | undefined; capabilityArgs?: Attachment['capabilityArgs']; valid?: ValidAttachment[] },
): Record<string, unknown> {
  const wanted = Object.entries(capabilityArgs).filter(([capability]) => capabilities[capability] === true);
  return {
    ...plugin,
    name,
    cniVersion,
    ...(wanted.length > 0 ? { runtimeConfig: Object.fromEntries(wanted) } : {}),
    ...(prevResult ? { prevResult: toVersion(prevResult, cniVersion) } : {}),
    ...(valid ? { 'cni.dev/valid-attachments': valid } : {}),
  };
}

/** The variables that tell a plugin what to do (spec, section 2: "Parameters"). Pure. */
export function planEnvironment(
  command: CniCommand,
  { attachment, binDirs, base }: { attachment?: Attachment; binDirs: readonly string[]; base: NodeJS.ProcessEnv },
): Record<string, string> {
  const inherited = Object.entries(base).flatMap(([name, value]) =>
    value === undefined || name.startsWith('CNI_') ? [] : [[name, value] as const],
  );
  return {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    ...Object.fromEntries(inherited),
    CNI_COMMAND: command,
    CNI_PATH: binDirs.join(':'),
    ...(attachment
      ? {
          CNI_CONTAINERID: attachment.containerId,
          CNI_NETNS: attachment.netns,
          CNI_IFNAME: attachment.ifName,
          CNI_ARGS: attachment.args.map(([name, value]) => `${name}=${value.replaceAll(';', ',')}`).join(';'),
        }
      : {}),
  };
}

/** Whether that command exists in the list's version of the specification. Pure. */
export function hasCommand({ cniVersion, disableCheck, disableGc }: NetworkConfigList, command: CniCommand): boolean {
  if (command === 'CHECK') return !disableCheck && isAtLeast(cniVersion, '0.4.0');
  if (command === 'GC') return !disableGc && isAtLeast(cniVersion, '1.1.0');
  return command !== 'STATUS' || isAtLeast(cniVersion, '1.1.0');
}
