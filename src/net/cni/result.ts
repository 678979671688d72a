import { isIP } from 'node:net';
import { UmiakError } from '#base/errors.ts';
import { isObject } from '#base/json-object.ts';
import type { CniError, CniResult } from './cni-types.ts';
import { isAtLeast } from './versions.ts';

const MAX_ADDRESSES = 64;

/**
 * Checks what a plugin answered to ADD. A plugin that says nothing leaves the result of those before it.
 * @throws UmiakError `Invalid` naming the field
 */
export function parseResult(text: string): CniResult | undefined {
  if (text.trim() === '') return undefined;
  const result = parse(text);
  if (!isObject(result)) throw new UmiakError('Invalid', 'its answer is no JSON object');
  const { ips = [], cniVersion } = result;
  if (typeof cniVersion !== 'string') throw new UmiakError('Invalid', 'its answer has no cniVersion');
  if (!Array.isArray(ips) || ips.length > MAX_ADDRESSES) throw new UmiakError('Invalid', `ips must be a list of at most ${MAX_ADDRESSES}`);
  for (const [index, ip] of ips.entries()) {
    const address = isObject(ip) && typeof ip.address === 'string' ? ip.address.split('/')[0]! : '';
    if (isIP(address) === 0) throw new UmiakError('Invalid', `ips[${index}].address must be an address with its prefix`);
  }
  return result as unknown as CniResult;
}

/** The error in a failed plugin's answer, or undefined when it answered something else. */
export function parseError(text: string): CniError | undefined {
  const error = parse(text);
  if (!isObject(error) || typeof error.code !== 'number') return undefined;
  const { code, msg, details } = error;
  return { code, msg: typeof msg === 'string' ? msg : '', ...(typeof details === 'string' && details !== '' ? { details } : {}) };
}

/** What a plugin answers to VERSION. */
export function parseVersions(text: string): string[] {
  const answer = parse(text);
  const { supportedVersions } = isObject(answer) ? answer : {};
  return Array.isArray(supportedVersions) ? supportedVersions.filter(version => typeof version === 'string') : [];
}

/** A result as another version writes it. Pure. */
export function toVersion(result: CniResult, cniVersion: string): CniResult {
  if (result.cniVersion === cniVersion) return result;
  const hasFamilies = !isAtLeast(cniVersion, '1.0.0');
  const hasMtu = isAtLeast(cniVersion, '1.1.0');
  return {
    ...result,
    cniVersion,
    ...(result.interfaces
      ? { interfaces: result.interfaces.map(({ mtu, ...link }) => (hasMtu && mtu !== undefined ? { ...link, mtu } : link)) }
      : {}),
    ...(result.ips
      ? {
          ips: result.ips.map(({ version: _, ...ip }) => (hasFamilies ? { version: String(isIP(ip.address.split('/')[0]!)), ...ip } : ip)),
        }
      : {}),
    ...(result.routes
      ? { routes: result.routes.map(({ dst, gw, mtu }) => ({ dst, ...(gw ? { gw } : {}), ...(hasMtu && mtu ? { mtu } : {}) })) }
      : {}),
  };
}

/** The addresses that a result gives to the links inside the sandbox, in its order. Pure. */
export function addressesOf({ interfaces = [], ips = [] }: CniResult): string[] {
  const isInside = (index: number | undefined) => index === undefined || (interfaces[index]?.sandbox ?? '') !== '';
  return [...new Set(ips.filter(ip => isInside(ip.interface)).map(({ address }) => address.split('/')[0]!))];
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
