import type { Clock } from '#base/clock.ts';
import { UmiakError } from '#base/errors.ts';
import type { NodeConnector } from '../node-connector.ts';
import { type Reading, readSummary, type Summary } from './usage.ts';

/** Two readings of a node, between which its use is told. */
export interface ReadingPair {
  before: Reading;
  after: Reading;
}

/** What was read of a node, and when, on the own clock. */
interface Known extends Partial<ReadingPair> {
  readAtMs: number;
  reading?: Promise<ReadingPair | undefined>;
}

/** A pair serves everybody for so long; a little less than the period of those who come every 15 s. */
const FRESH_MS = 14_500;
/** An older reading would make the window too wide: two new ones, a moment apart, are better. */
const STALE_MS = 90_000;
const MOMENT_MS = 1_000;
const TIMEOUT_MS = 10_000;
const MOST_BYTES = 32 << 20;

/** Reads nodes' measures when somebody asks, and only then: whoever asks soon after gets the same. */
export class NodeReadings {
  readonly #connector: NodeConnector;
  readonly #clock: Clock;
  readonly #known = new Map<string, Known>();

  constructor({ connector, clock }: { connector: NodeConnector; clock: Clock }) {
    this.#connector = connector;
    this.#clock = clock;
  }

  /** Undefined while the node can't be asked. */
  of(node: string): Promise<ReadingPair | undefined> {
    const known: Known = this.#known.get(node) ?? { readAtMs: Number.NEGATIVE_INFINITY };
    this.#known.set(node, known);
    const { before, after, readAtMs } = known;
    if (known.reading) return known.reading;
    if (before && after && this.#clock.monotonic() - readAtMs < FRESH_MS) return Promise.resolve({ before, after });
    known.reading = this.#read(node, known)
      .catch(() => undefined)
      .finally(() => delete known.reading);
    return known.reading;
  }

  /** Forgets nodes that are no more. */
  keepOnly(isThere: (node: string) => boolean): void {
    for (const node of this.#known.keys()) if (!isThere(node)) this.#known.delete(node);
  }

  async #read(node: string, known: Known): Promise<ReadingPair | undefined> {
    let before = this.#clock.monotonic() - known.readAtMs < STALE_MS ? known.after : undefined;
    if (!before) {
      before = await this.#ask(node);
      await new Promise<void>(resolve => this.#clock.after(MOMENT_MS, resolve));
    }
    const after = await this.#ask(node);
    Object.assign(known, { before, after, readAtMs: this.#clock.monotonic() });
    return { before, after };
  }

  async #ask(node: string): Promise<Reading> {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const { status, body } = await this.#connector.request(node, { method: 'GET', path: '/stats/summary', signal });
    const bytes = await readAtMost(body, MOST_BYTES);
    if (status !== 200 || !bytes)
      throw new UmiakError('ServiceUnavailable', `node ${node} answered ${status} to the question for its measures`);
    const reading = readSummary(JSON.parse(bytes.toString()) as Summary);
    if (!reading) throw new UmiakError('ServiceUnavailable', `node ${node} has not measured itself`);
    return reading;
  }
}

/** Undefined when there is more. */
async function readAtMost(body: NodeJS.ReadableStream, most: number): Promise<Buffer | undefined> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of body) {
    const bytes = Buffer.from(piece);
    size += bytes.length;
    if (size > most) return undefined;
    pieces.push(bytes);
  }
  return Buffer.concat(pieces);
}
