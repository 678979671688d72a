import type { FieldCause } from '#base/errors.ts';
import { parseQuantity } from '#base/quantity.ts';
import type { Quantity } from './types.gen.ts';
import { checkDnsSubdomain, forbidden, invalid, notSupported, required } from './validation.ts';

/** How volumes may be mounted, with their short names, in the order in which they are shown. */
const ACCESS_MODES: Record<string, string> = {
  ReadWriteOnce: 'RWO',
  ReadOnlyMany: 'ROX',
  ReadWriteMany: 'RWX',
  ReadWriteOncePod: 'RWOP',
};
const SUPPORTED_MODES = Object.keys(ACCESS_MODES).sort();
const VOLUME_MODES = ['Block', 'Filesystem'];

/** `RWO,ROX` */
export function accessModesText(modes: readonly string[] | undefined): string {
  return Object.keys(ACCESS_MODES)
    .filter(mode => modes?.includes(mode))
    .map(mode => ACCESS_MODES[mode])
    .join(',');
}

/** Known modes, at least one; `ReadWriteOncePod` only alone. */
export function validateAccessModes(modes: readonly string[] = [], path: string, whyRequired = ''): FieldCause[] {
  const causes: FieldCause[] = modes.length === 0 ? [required(path, whyRequired)] : [];
  for (const mode of modes) if (!SUPPORTED_MODES.includes(mode)) causes.push(notSupported(path, mode, SUPPORTED_MODES));
  if (modes.includes('ReadWriteOncePod') && modes.some(mode => mode !== 'ReadWriteOncePod'))
    causes.push(forbidden(path, 'may not use ReadWriteOncePod with other access modes'));
  return causes;
}

/** `Block` or `Filesystem`. */
export function validateVolumeMode(mode: string | undefined, path: string): FieldCause[] {
  return mode === undefined || VOLUME_MODES.includes(mode) ? [] : [notSupported(path, mode, VOLUME_MODES)];
}

/** A name of a class of storage. */
export function validateClassName(name: string | undefined, path: string): FieldCause[] {
  return name ? checkDnsSubdomain(name).map(why => invalid(path, name, why)) : [];
}

/** An amount of storage, which is more than nothing. */
export function validatePositiveQuantity(quantity: Quantity, path: string): FieldCause[] {
  return parseQuantity(quantity).nano > 0n ? [] : [invalid(path, String(quantity), 'must be greater than zero')];
}

const HOST_PATH_TYPES = ['', 'BlockDevice', 'CharDevice', 'Directory', 'DirectoryOrCreate', 'File', 'FileOrCreate', 'Socket'];

/** What must be at a path of the host. */
export function validateHostPathType(type: string | undefined, field: string): FieldCause[] {
  return type === undefined || HOST_PATH_TYPES.includes(type) ? [] : [notSupported(field, type, HOST_PATH_TYPES)];
}
