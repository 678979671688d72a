import { createHash } from 'node:crypto';
import { UmiakError } from '#base/errors.ts';

const MAX_LINK_NAME = 15;

/**
 * The link that bears the pods' gateway address: `<instance>0`.
 * @throws UmiakError `Invalid` when the instance's name can't begin a link's
 */
export function bridgeName(instance: string): string {
  const name = `${instance}0`;
  if (name.length > MAX_LINK_NAME || !/^[a-z][a-z0-9-]*$/.test(instance)) {
    const hint = `Use at most ${MAX_LINK_NAME - 1} lower-case letters, digits and dashes.`;
    throw new UmiakError('Invalid', `instance name ${JSON.stringify(instance)} can't name a network link`, { hint });
  }
  return name;
}

/** What the host's ends of the links of an instance's pods begin with: 7 characters, leaving 8 for the network's id. */
export function vethPrefix(instance: string): string {
  return `ve${createHash('sha256').update(instance).digest('hex').slice(0, 4)}-`;
}
