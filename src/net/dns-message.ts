import { UmiakError } from '#base/errors.ts';

const TYPE_SOA = 6;
const TYPE_OPT = 41;
const HEADER_BYTES = 12;

/** The parts of a message that a forwarder must know without understanding its records (RFC 1035, section 4.1). */
export interface MessageOutline {
  rcode: number;
  isTruncated: boolean;
  answerCount: number;
  /** Where the question section ends. */
  questionEnd: number;
  /** The bytes of the questions, in lower case: equal for equal questions. */
  questionKey: string;
  /** Offsets of the records' TTL fields, without OPT's. */
  ttlOffsets: number[];
  /** For how long a negative answer may be kept: the least of the SOA's TTL and its minimum. */
  soaSeconds: number | undefined;
  /** Offset and length of OPT's data, if there is an OPT record. */
  opt: { at: number; dataBytes: number } | undefined;
}

/**
 * Reads a message's outline.
 * @throws UmiakError `BadRequest` when it is none
 */
export function outlineOf(message: Buffer): MessageOutline {
  try {
    return readOutline(message);
  } catch (error) {
    throw new UmiakError('BadRequest', 'not a DNS message', { cause: error });
  }
}

/** Takes `seconds` off every TTL, none below zero. */
export function ageBy(message: Buffer, { ttlOffsets }: MessageOutline, seconds: number): void {
  for (const at of ttlOffsets) message.writeUInt32BE(Math.max(0, message.readUInt32BE(at) - seconds), at);
}

/** For how long an answer may be kept, by its own word; 0 for failures. */
export function lifetimeSeconds(message: Buffer, { rcode, answerCount, ttlOffsets, soaSeconds }: MessageOutline): number {
  if (rcode !== 0 && rcode !== 3) return 0;
  if (rcode === 3 || answerCount === 0) return soaSeconds ?? 0;
  return Math.min(...ttlOffsets.map(at => message.readUInt32BE(at)));
}

/** The head of a message that is too long for its way: header with TC, and the question. */
export function truncated(message: Buffer, { questionEnd }: MessageOutline): Buffer {
  const head = Buffer.from(message.subarray(0, questionEnd));
  head[2] = head[2]! | 0x02;
  head.fill(0, 6, HEADER_BYTES);
  return head;
}

function readOutline(message: Buffer): MessageOutline {
  const [questions, answers, authorities, additionals] = [4, 6, 8, 10].map(at => message.readUInt16BE(at)) as [
    number,
    number,
    number,
    number,
  ];
  let at = HEADER_BYTES;
  for (let n = 0; n < questions; n++) at = skipName(message, at) + 4;
  const questionEnd = at;
  if (questionEnd > message.length) throw new RangeError('question outside the message');
  const ttlOffsets: number[] = [];
  let soaSeconds: number | undefined;
  let opt: MessageOutline['opt'];
  for (let n = 0; n < answers + authorities + additionals; n++) {
    at = skipName(message, at);
    const type = message.readUInt16BE(at);
    const dataBytes = message.readUInt16BE(at + 8);
    const end = at + 10 + dataBytes;
    if (end > message.length) throw new RangeError('record outside the message');
    if (type === TYPE_OPT) opt = { at, dataBytes };
    else ttlOffsets.push(at + 4);
    if (type === TYPE_SOA) soaSeconds = Math.min(message.readUInt32BE(at + 4), message.readUInt32BE(end - 4));
    at = end;
  }
  return {
    rcode: message[3]! & 15,
    isTruncated: (message[2]! & 0x02) !== 0,
    answerCount: answers,
    questionEnd,
    questionKey: message.toString('latin1', HEADER_BYTES, questionEnd).toLowerCase(),
    ttlOffsets,
    soaSeconds,
    opt,
  };
}

/** The offset after a name; a compressed one ends with its pointer, so that none can lead in circles. */
function skipName(message: Buffer, at: number): number {
  for (;;) {
    const length = message.readUInt8(at);
    if (length === 0) return at + 1;
    if (length >= 0xc0) return at + 2;
    if (length > 63) throw new RangeError('bad label');
    at += length + 1;
  }
}
