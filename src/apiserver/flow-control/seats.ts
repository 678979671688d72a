import type { PriorityLevelConfiguration } from '#kinds/types.gen.ts';
import { QueueSet, type Waiting } from './queue-set.ts';

/** How many seats a level has of its own, lends, and may use at most. */
export interface SeatPlan {
  nominal: number;
  /** Of the nominal ones, those that others never get. */
  reserved: number;
  most: number;
}

/** Shares the server's seats out among the limited levels. */
export function planSeats(levels: readonly PriorityLevelConfiguration[], total: number): Map<string, SeatPlan> {
  const sharesOf = ({ spec }: PriorityLevelConfiguration) => spec.limited?.nominalConcurrencyShares ?? (spec.type === 'Limited' ? 30 : 0);
  const sum = levels.reduce((all, each) => all + sharesOf(each), 0);
  return new Map(
    levels
      .filter(({ spec }) => spec.type === 'Limited')
      .map(level => {
        const nominal = sum === 0 ? 0 : Math.ceil((total * sharesOf(level)) / sum);
        const reserved = nominal - Math.round((nominal * (level.spec.limited?.lendablePercent ?? 0)) / 100);
        const borrowing = level.spec.limited?.borrowingLimitPercent;
        const most = borrowing === undefined ? Number.POSITIVE_INFINITY : nominal + Math.round((nominal * borrowing) / 100);
        return [level.metadata.name, { nominal, reserved, most }];
      }),
  );
}

/** One limited priority level: what it serves now and who waits. */
export class Level {
  plan: SeatPlan = { nominal: 0, reserved: 0, most: 0 };
  /** Absent: who finds no seat is refused. */
  queues: QueueSet | undefined;
  executing = 0;
}

/**
 * The seats of all levels. A level's reserved ones are its own; all others are in one pool from which any takes up to its most, those
 * below their nominal number first: so an idle level's seats serve the others, and come back as their requests end.
 */
export class Seats {
  readonly #levels = new Map<string, Level>();
  #poolSize = 0;
  #poolUsed = 0;

  get(name: string): Level | undefined {
    return this.#levels.get(name);
  }

  entries(): Iterable<[string, Level]> {
    return this.#levels.entries();
  }

  /** Takes the levels as they are now; what is served and waits stays with its level. */
  configure(levels: readonly PriorityLevelConfiguration[], total: number): void {
    const plans = planSeats(levels, total);
    for (const [name, level] of this.#levels) {
      if (!plans.has(name)) level.plan = { nominal: 0, reserved: 0, most: Number.POSITIVE_INFINITY };
      if (!plans.has(name) && level.executing === 0 && !level.queues?.length) this.#levels.delete(name);
    }
    for (const [name, plan] of plans) {
      const level = this.#levels.get(name) ?? new Level();
      level.plan = plan;
      this.#levels.set(name, level);
      const response = levels.find(({ metadata }) => metadata.name === name)?.spec.limited?.limitResponse;
      // Those who wait in the former queues keep their places there until they have gone.
      if (!level.queues?.length) level.queues = response?.type === 'Queue' ? new QueueSet(response.queuing as object) : undefined;
    }
    this.#poolSize = [...plans.values()].reduce((sum, { nominal, reserved }) => sum + nominal - reserved, 0);
    this.#poolUsed = [...this.#levels.values()].reduce((sum, level) => sum + this.#beyond(level, level.executing), 0);
    this.#startWaiting();
  }

  /** Takes seats if there are; false otherwise. */
  take(level: Level, seats: number): boolean {
    if (level.queues?.length || !this.#hasRoom(level, seats)) return false;
    this.#occupy(level, seats);
    return true;
  }

  free(level: Level, seats: number): void {
    this.#poolUsed -= this.#beyond(level, level.executing) - this.#beyond(level, level.executing - seats);
    level.executing -= seats;
    this.#startWaiting();
  }

  /** Seats beyond the reserved ones, which are the pool's. */
  #beyond({ plan }: Level, executing: number): number {
    return Math.max(0, executing - plan.reserved);
  }

  #hasRoom(level: Level, seats: number): boolean {
    // A request wider than the level is alone in it rather than never served.
    if (level.executing === 0 && level.plan.nominal > 0) return true;
    const after = level.executing + seats;
    const more = this.#beyond(level, after) - this.#beyond(level, level.executing);
    return after <= level.plan.most && (more === 0 || this.#poolUsed + more <= this.#poolSize);
  }

  #occupy(level: Level, seats: number): void {
    this.#poolUsed += this.#beyond(level, level.executing + seats) - this.#beyond(level, level.executing);
    level.executing += seats;
  }

  /** Lets in who can be served now: levels below their nominal number before those that borrow. */
  #startWaiting(): void {
    for (const mayBorrow of [false, true])
      for (const level of this.#levels.values()) {
        for (;;) {
          const next: Waiting | undefined = level.queues?.length ? level.queues.peek() : undefined;
          if (!next || (!mayBorrow && level.executing + next.seats > level.plan.nominal) || !this.#hasRoom(level, next.seats)) break;
          level.queues?.take();
          this.#occupy(level, next.seats);
          next.start();
        }
      }
  }
}
