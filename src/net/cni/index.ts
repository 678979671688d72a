/**
 * CNI (versions 0.3.0 to 1.1), both ways round.
 *
 * As a runtime: `CniNetworks` attaches sandboxes to the network that the machine's configuration names. `network-config.ts` reads it,
 * `plan-attachment.ts` and `plan-request.ts` say what a plugin gets, `plugin-chain.ts` calls one after the other, `attachment-cache.ts` remembers.
 * Plugins are processes: bounded in time and output, killed as a group.
 *
 * As a plugin: `PluginServer` is the agent's half, `plugin-client.ts` the half that a foreign runtime starts (`bin/umiak-cni`). They speak over a
 * socket, so that there is one owner of addresses and links: the agent's `NetworkPool`.
 *
 * Not here: several networks a sandbox (one file counts, as containerd's default), IPv6 of our own network.
 */
export * from './cni-networks.ts';
export { type LentRecord, LentRecords } from './lent-links.ts';
export { PluginServer } from './plugin-server.ts';
