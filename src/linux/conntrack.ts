import { SyscallError } from './libc.ts';
import { attribute, attributes, NETLINK_NETFILTER, Netlink } from './netlink.ts';

const CT_GET = (1 << 8) | 1;
const CT_DELETE = (1 << 8) | 2;
const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_ID = 12;
const NLA_F_NESTED = 0x8000;
const IPPROTO_UDP = 17;
const ENOENT = 2;
/** `nfgenmsg`: IPv4, version 0. */
const HEADER = Buffer.from([2, 0, 0, 0]);

/** A datagram flow that the kernel tracks: what the client wrote to, and who answers it. */
export interface UdpFlow {
  destination: { address: string; port: number };
  answeredBy: { address: string; port: number };
}

/**
 * Makes the kernel forget those tracked UDP flows (IPv4, this thread's network namespace) that are `stale`: their next datagram is judged by
 * the rules anew. Without this a client that keeps its port is led to the old place for as long as it goes on sending.
 * @returns how many it forgot
 */
export function forgetUdpFlows(isStale: (flow: UdpFlow) => boolean): number {
  using netlink = new Netlink(NETLINK_NETFILTER);
  let forgotten = 0;
  for (const entry of netlink.dump({ what: 'list tracked flows', type: CT_GET, flags: 0, body: HEADER })) {
    const parts = attributes(entry.subarray(HEADER.length));
    const [original, reply, id] = [parts.get(CTA_TUPLE_ORIG), parts.get(CTA_TUPLE_REPLY), parts.get(CTA_ID)];
    const [sent, answered] = [original && toTuple(original), reply && toTuple(reply)];
    if (!original || !id || sent?.protocol !== IPPROTO_UDP || !answered) continue;
    if (!isStale({ destination: sent.destination, answeredBy: answered.source })) continue;
    const body = Buffer.concat([HEADER, attribute(CTA_TUPLE_ORIG | NLA_F_NESTED, original), attribute(CTA_ID, id)]);
    try {
      netlink.send({ what: 'forget tracked flow', type: CT_DELETE, flags: 0, body });
      forgotten++;
    } catch (error) {
      if (!(error instanceof SyscallError) || error.errno !== ENOENT) throw error; // it ended by itself
    }
  }
  return forgotten;
}

function toTuple(data: Buffer) {
  const parts = attributes(data);
  const ip = attributes(parts.get(1) ?? Buffer.alloc(0));
  const transport = attributes(parts.get(2) ?? Buffer.alloc(0));
  const [source, destination, sourcePort, destinationPort] = [ip.get(1), ip.get(2), transport.get(2), transport.get(3)];
  if (!source || !destination || !sourcePort || !destinationPort) return undefined;
  return {
    protocol: transport.get(1)?.[0],
    source: { address: source.join('.'), port: sourcePort.readUInt16BE(0) },
    destination: { address: destination.join('.'), port: destinationPort.readUInt16BE(0) },
  };
}
