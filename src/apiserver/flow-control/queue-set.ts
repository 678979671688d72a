/** A request that waits for its turn. */
export interface Waiting {
  seats: number;
  start(): void;
}

interface Queue {
  waiting: Waiting[];
  /** Fair queuing's virtual time at which the queue's first request begins. */
  virtualStart: number;
}

/**
 * The queues of one priority level. Each flow is dealt a few of them (shuffle sharding), so that one that floods its own meets any other
 * in few; between queues the turn goes by virtual time, so that none gets more for having more waiting.
 */
export class QueueSet {
  readonly #queues: Queue[];
  readonly #handSize: number;
  readonly #lengthLimit: number;
  #virtualNow = 0;
  length = 0;

  constructor({ queues = 64, handSize = 8, queueLengthLimit = 50 }: { queues?: number; handSize?: number; queueLengthLimit?: number }) {
    // Queues are made when first used: there may be ten million.
    this.#queues = new Array(queues);
    this.#handSize = Math.min(handSize, queues);
    this.#lengthLimit = queueLengthLimit;
  }

  /** Puts the request into the shortest queue of its flow's hand; false when that is full. */
  add(flow: string, waiting: Waiting): boolean {
    let best: Queue | undefined;
    for (const index of dealHand(hashOf(flow), this.#queues.length, this.#handSize)) {
      this.#queues[index] ??= { waiting: [], virtualStart: 0 };
      const queue = this.#queues[index];
      if (!best || queue.waiting.length < best.waiting.length) best = queue;
    }
    if (!best || best.waiting.length >= this.#lengthLimit) return false;
    if (best.waiting.length === 0) {
      best.virtualStart = Math.max(best.virtualStart, this.#virtualNow);
      this.#active.add(best);
    }
    best.waiting.push(waiting);
    this.length++;
    return true;
  }

  readonly #active = new Set<Queue>();

  /** Who is next; stays in its queue. */
  peek(): Waiting | undefined {
    return this.#next()?.waiting[0];
  }

  /** Takes out who is next. */
  take(): Waiting | undefined {
    const queue = this.#next();
    const waiting = queue?.waiting.shift();
    if (!queue || !waiting) return undefined;
    this.#virtualNow = queue.virtualStart;
    queue.virtualStart += waiting.seats;
    this.#settle(queue);
    return waiting;
  }

  /** Takes out one that waits no longer. */
  remove(waiting: Waiting): boolean {
    for (const queue of this.#active) {
      const at = queue.waiting.indexOf(waiting);
      if (at < 0) continue;
      queue.waiting.splice(at, 1);
      this.#settle(queue);
      return true;
    }
    return false;
  }

  #settle(queue: Queue): void {
    this.length--;
    if (queue.waiting.length === 0) this.#active.delete(queue);
  }

  #next(): Queue | undefined {
    let next: Queue | undefined;
    for (const queue of this.#active) if (!next || queue.virtualStart < next.virtualStart) next = queue;
    return next;
  }
}

/** Deals `size` different cards of a deck, the same for the same hash. */
export function dealHand(hash: number, deck: number, size: number): number[] {
  const hand: number[] = [];
  let rest = hash;
  for (let i = 0; i < size; i++) {
    const left = deck - i;
    let card = rest % left;
    rest = Math.floor(rest / left);
    // The card counts among those that are left: step over the dealt ones below it.
    for (const dealt of hand.toSorted((a, b) => a - b)) if (card >= dealt) card++;
    hand.push(card);
  }
  return hand;
}

/** 53 bits of a text: two rounds of FNV-1a with different seeds. */
function hashOf(text: string): number {
  let [high, low] = [0x811c9dc5, 0x01000193];
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    high = Math.imul(high ^ code, 0x01000193);
    low = Math.imul(low ^ code, 0x85ebca6b);
  }
  return (high >>> 11) * 2 ** 32 + (low >>> 0);
}
