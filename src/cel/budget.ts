import { BudgetExceeded, Pause } from './errors.ts';

/** What an evaluation may use. */
export interface BudgetOptions {
  /** Cost units that one evaluation may use; Kubernetes' limit is 1,000,000. */
  perCall?: number;
  /** Cost units that all evaluations with this budget may use; Kubernetes' limit is 10,000,000. */
  total?: number;
  /** Milliseconds of evaluation altogether: a rule that comes near costs more than any server should give. */
  wallMs?: number;
}

/** What an evaluation that pauses has used so far; one for each. */
export interface Stretches {
  used: number;
  /** Asked now and then: whether it is time to pause. */
  isDue: () => boolean;
}

/** The budget of the evaluation under way: for work whose size only shows while it is done. */
let spending: Budget | undefined;

/** Takes `cost` units for work within a function. @throws BudgetExceeded */
export function chargeWork(cost: number): void {
  spending?.charge(cost);
}

/** Units of cost, and charges, between two looks at the clock: what is cheap by its price may still take long. */
const COST_BETWEEN_LOOKS = 4_096;
const CHARGES_BETWEEN_LOOKS = 16;

/** The cost and time that the expressions of one request share. */
export class Budget {
  readonly #perCall: number;
  #total: number;
  #wallMs: number;
  #granted = 0;
  #left = 0;
  #began = 0;
  #sinceLook = 0;
  #charges = 0;
  #stretches: Stretches | undefined;
  #isDue = false;
  /** On the way back to where it paused: what is done again is not charged again. */
  #isReturning = false;

  constructor({ perCall = 1_000_000, total = 10_000_000, wallMs = 500 }: BudgetOptions = {}) {
    this.#perCall = perCall;
    this.#total = total;
    this.#wallMs = wallMs;
  }

  /** What is left for further evaluations. */
  get remaining(): number {
    return this.#total;
  }

  /** Runs one evaluation, or one stretch of it, within the budget. @throws BudgetExceeded */
  spend<T>(run: (budget: Budget) => T, stretches?: Stretches): T {
    if (this.#granted > 0) return run(this);
    const before = stretches?.used ?? 0;
    this.#granted = Math.min(this.#perCall, this.#total + before);
    this.#left = this.#granted - before;
    this.#began = performance.now();
    this.#stretches = stretches;
    this.#isReturning = before > 0;
    const outer = spending;
    spending = this;
    try {
      return run(this);
    } finally {
      const used = this.#granted - Math.max(0, this.#left);
      this.#total -= used - before;
      this.#wallMs -= performance.now() - this.#began;
      this.#granted = this.#left = 0;
      this.#isDue = false;
      this.#stretches = undefined;
      spending = outer;
      if (stretches) stretches.used = used;
    }
  }

  /** A place to pause at, when it is time to. @throws Pause */
  mayPause(): void {
    if (this.#isDue) throw new Pause();
  }

  /** The evaluation is back where it paused. */
  returned(): void {
    this.#isReturning = false;
  }

  /** Takes `cost` units. @throws BudgetExceeded */
  charge(cost: number): void {
    if (this.#isReturning) return;
    this.#left -= cost;
    if (this.#left < 0) throw new BudgetExceeded('operation cancelled: actual cost limit exceeded');
    this.#sinceLook += cost;
    if (++this.#charges < CHARGES_BETWEEN_LOOKS && this.#sinceLook < COST_BETWEEN_LOOKS) return;
    this.#sinceLook = this.#charges = 0;
    this.#isDue = this.#stretches?.isDue() ?? false;
    if (performance.now() - this.#began > this.#wallMs) throw new BudgetExceeded('operation interrupted: the evaluation took too long');
  }
}
