import { type Answer, decode, encode, type Packet, type Question } from 'dns-packet';
import type { DnsForwarder } from './dns-forwarder.ts';
import { outlineOf, truncated } from './dns-message.ts';
import { type DnsZones, FORMERR, NOERROR, NOTIMP, REFUSED, SERVFAIL, UNFILLED } from './dns-zones.ts';

const FLAG_RESPONSE = 0x8000;
const FLAG_AUTHORITATIVE = 0x0400;
const FLAG_RECURSION_DESIRED = 0x0100;
const FLAG_RECURSION_AVAILABLE = 0x0080;
const MIN_UDP_BYTES = 512;
/** What passes any path without fragments (the DNS flag day's figure). */
const MAX_UDP_BYTES = 1232;

const OWN_OPT: Answer = {
  type: 'OPT',
  name: '.',
  udpPayloadSize: MAX_UDP_BYTES,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
};

export interface RespondOptions {
  zones: Pick<DnsZones, 'answer'>;
  forwarder: Pick<DnsForwarder, 'forward'>;
  isTcp: boolean;
  /** Resolves when the zones are filled, or shall not be waited for any longer. */
  untilFilled: () => Promise<void>;
}

/**
 * The response to one received message, from our zones or by asking others. Undefined for what must not be answered: responses, and
 * messages too short to have an id. Never throws: what goes wrong is an answer too.
 */
export async function respond(message: Buffer, options: RespondOptions): Promise<Buffer | undefined> {
  if (message.length < 12 || (message[2]! & 0x80) !== 0) return undefined;
  const opcode = (message[2]! >> 3) & 15;
  if (opcode !== 0) return refusal(message, NOTIMP);
  let query: Packet;
  try {
    outlineOf(message);
    query = decode(message);
  } catch {
    return refusal(message, FORMERR);
  }
  const question = query.questions?.[0];
  if (!question || query.questions!.length > 1 || (query.answers?.length ?? 0) > 0) return refusal(message, FORMERR);
  if ((question.class ?? 'IN') !== 'IN' || ['AXFR', 'IXFR'].includes(question.type)) return refusal(message, REFUSED);
  try {
    return await answer(message, query, question, options);
  } catch {
    // An upstream that is silent or talks nonsense: the asker's to know, with his question, without which some don't believe it.
    const { questionEnd } = outlineOf(message);
    const header = refusal(message, SERVFAIL);
    header.writeUInt16BE(1, 4);
    return Buffer.concat([header, message.subarray(header.length, questionEnd)]);
  }
}

async function answer(
  message: Buffer,
  query: Packet,
  question: Question,
  { zones, forwarder, isTcp, untilFilled }: RespondOptions,
): Promise<Buffer> {
  let found = zones.answer(question);
  if (found === UNFILLED) {
    await untilFilled();
    found = zones.answer(question);
  }
  const limit = isTcp ? 65535 : udpLimit(query);
  if (!found) return fitting(await forwarder.forward(message, { isTcp }), limit);
  const answers = [...found.answers];
  if (found.chase !== undefined) answers.push(...(await chase(found.chase, question, forwarder)));
  const opt = (query.additionals ?? []).find(record => record.type === 'OPT');
  const edns: Answer[] = opt ? [OWN_OPT] : [];
  const recursion = (query.flags ?? 0) & FLAG_RECURSION_DESIRED;
  const flags = FLAG_AUTHORITATIVE | FLAG_RECURSION_AVAILABLE | recursion | found.rcode;
  const head: Packet = { type: 'response', id: query.id ?? 0, flags, questions: [question], answers, authorities: found.authorities };
  const full = encode({ ...head, additionals: [...found.additionals, ...edns] });
  if (full.length <= limit) return full;
  return fitting(encode({ ...head, additionals: edns }), limit);
}

/** The records of a name outside our zones that one of our aliases leads to. */
async function chase(name: string, { type }: Question, forwarder: RespondOptions['forwarder']): Promise<Answer[]> {
  const query = encode({ type: 'query', id: 0, flags: FLAG_RECURSION_DESIRED, questions: [{ type, name }] });
  const response = decode(await forwarder.forward(query));
  return (response.flags ?? 0) % 16 === NOERROR ? (response.answers ?? []) : [];
}

function udpLimit(query: Packet): number {
  const opt = (query.additionals ?? []).find(record => record.type === 'OPT') as { udpPayloadSize?: number } | undefined;
  return Math.max(MIN_UDP_BYTES, Math.min(opt?.udpPayloadSize ?? MIN_UDP_BYTES, MAX_UDP_BYTES));
}

function fitting(response: Buffer, limit: number): Buffer {
  return response.length <= limit ? response : truncated(response, outlineOf(response));
}

/** Only a header: whatever else the message had may be what is wrong with it. */
function refusal(message: Buffer, rcode: number): Buffer {
  const asked = message.readUInt16BE(2);
  const header = Buffer.alloc(12);
  message.copy(header, 0, 0, 2);
  header.writeUInt16BE(FLAG_RESPONSE | (asked & 0x7800) | (asked & FLAG_RECURSION_DESIRED) | FLAG_RECURSION_AVAILABLE | rcode, 2);
  return header;
}
