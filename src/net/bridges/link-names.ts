import { createHash } from 'node:crypto';

const MAX_LINK_NAME = 15;

/** What `ip link` says of every bridge made here, whatever its name: whose it is. */
export function bridgeAlias(instance: string, id = ''): string {
  return `umiak ${instance} ${id}`;
}

/** A bridge's name, when nobody chose one: `<instance>-<id>`, as much of both as a link's name holds. */
export function bridgeLinkName(instance: string, id: string): string {
  const start = `${instance.slice(0, 6)}-`;
  return `${start}${id.slice(0, MAX_LINK_NAME - start.length)}`;
}

/** What the machine's ends of an instance's endpoints begin with. */
export function endpointPrefix(instance: string): string {
  return `vb${createHash('sha256').update(instance).digest('hex').slice(0, 4)}-`;
}

/** The machine's end of an endpoint. */
export function endpointLinkName(instance: string, endpointId: string): string {
  return `${endpointPrefix(instance)}${endpointId.slice(0, 8)}`;
}

/** True for a name that the kernel takes for a link. */
export function isLinkName(name: string): boolean {
  return name.length > 0 && name.length <= MAX_LINK_NAME && name !== '.' && name !== '..' && !/[\s/:]/.test(name);
}

/** The nftables table of an instance's bridges and published ports. */
export function bridgeTableName(instance: string): string {
  return `${instance}-bridges`;
}
