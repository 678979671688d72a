import { UmiakError } from '#base/errors.ts';

/** In the order of their numbers in the kernel. */
export const ALL_CAPABILITIES = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_DAC_READ_SEARCH',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_LINUX_IMMUTABLE',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_BROADCAST',
  'CAP_NET_ADMIN',
  'CAP_NET_RAW',
  'CAP_IPC_LOCK',
  'CAP_IPC_OWNER',
  'CAP_SYS_MODULE',
  'CAP_SYS_RAWIO',
  'CAP_SYS_CHROOT',
  'CAP_SYS_PTRACE',
  'CAP_SYS_PACCT',
  'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT',
  'CAP_SYS_NICE',
  'CAP_SYS_RESOURCE',
  'CAP_SYS_TIME',
  'CAP_SYS_TTY_CONFIG',
  'CAP_MKNOD',
  'CAP_LEASE',
  'CAP_AUDIT_WRITE',
  'CAP_AUDIT_CONTROL',
  'CAP_SETFCAP',
  'CAP_MAC_OVERRIDE',
  'CAP_MAC_ADMIN',
  'CAP_SYSLOG',
  'CAP_WAKE_ALARM',
  'CAP_BLOCK_SUSPEND',
  'CAP_AUDIT_READ',
  'CAP_PERFMON',
  'CAP_BPF',
  'CAP_CHECKPOINT_RESTORE',
] as const;

/** What Docker and containerd give a container that asks for nothing. */
export const DEFAULT_CAPABILITIES: readonly string[] = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_RAW',
  'CAP_SYS_CHROOT',
  'CAP_MKNOD',
  'CAP_AUDIT_WRITE',
  'CAP_SETFCAP',
];

export interface CapabilityRequest {
  add?: string[] | undefined;
  drop?: string[] | undefined;
  privileged?: boolean | undefined;
}

/**
 * The capabilities of a container: the default ones, plus `add`, minus `drop`, where `ALL` means all; a name both added and dropped singly
 * is had. What we lack ourselves can't be given and is left out.
 * @throws Invalid for a name that the kernel does not know
 */
export function planCapabilities({ add = [], drop = [], privileged = false }: CapabilityRequest, available: ReadonlySet<string>): string[] {
  const added = add.map(parseCapability);
  const dropped = drop.map(parseCapability);
  let capabilities = new Set<string>(DEFAULT_CAPABILITIES);
  if (privileged) capabilities = new Set(ALL_CAPABILITIES);
  else {
    if (added.includes('ALL')) capabilities = new Set(ALL_CAPABILITIES);
    if (dropped.includes('ALL')) capabilities = new Set(added.includes('ALL') ? ALL_CAPABILITIES : []);
    for (const name of dropped) capabilities.delete(name);
    for (const name of added) if (name !== 'ALL') capabilities.add(name);
  }
  return ALL_CAPABILITIES.filter(name => capabilities.has(name) && available.has(name));
}

/**
 * Those that programs without capabilities of their own keep; only what the container has can be kept.
 * @throws Invalid for one that it lacks
 */
export function planAmbient(wanted: readonly string[] = [], had: readonly string[]): string[] {
  const names = wanted.map(parseCapability);
  if (names.includes('ALL')) return [...had];
  const missing = names.find(name => !had.includes(name));
  if (missing !== undefined)
    throw new UmiakError('Invalid', `capabilities.addAmbient: the container does not have ${missing}`, { hint: 'Add it, too.' });
  return ALL_CAPABILITIES.filter(name => names.includes(name));
}

function parseCapability(name: string): string {
  const upper = name.toUpperCase();
  if (upper === 'ALL') return upper;
  const full = upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
  if (!(ALL_CAPABILITIES as readonly string[]).includes(full))
    throw new UmiakError('Invalid', `${JSON.stringify(name)} is not a capability`);
  return full;
}

/** The capabilities of a process's `CapBnd` or `CapEff` mask. */
export function fromCapabilityMask(hexadecimal: string): Set<string> {
  const mask = BigInt(`0x${hexadecimal}`);
  return new Set(ALL_CAPABILITIES.filter((_, bit) => (mask >> BigInt(bit)) & 1n));
}
