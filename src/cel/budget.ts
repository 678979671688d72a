import { BudgetExceeded } from './errors.ts';

/** What an evaluation may use. */
export interface BudgetOptions {
  /** Cost units that one evaluation may use; Kubernetes' limit is 1,000,000. */
  perCall?: number;
  /** Cost units that all evaluations with this budget may use; Kubernetes' limit is 10,000,000. */
  total?: number;
  /** Milliseconds of evaluation altogether: a rule that comes near costs more than any server should give. */
  wallMs?: number;
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

  constructor({ perCall = 1_000_000, total = 10_000_000, wallMs = 500 }: BudgetOptions = {}) {
    this.#perCall = perCall;
    this.#total = total;
    this.#wallMs = wallMs;
  }

  /** What is left for further evaluations. */
  get remaining(): number {
    return this.#total;
  }

  /** Runs one evaluation within the budget. @throws BudgetExceeded */
  spend<T>(run: (budget: Budget) => T): T {
    const outer = { granted: this.#granted, left: this.#left };
    if (outer.granted > 0) return run(this);
    this.#granted = this.#left = Math.min(this.#perCall, this.#total);
    this.#began = performance.now();
    try {
      return run(this);
    } finally {
      this.#total -= this.#granted - Math.max(0, this.#left);
      this.#wallMs -= performance.now() - this.#began;
      this.#granted = this.#left = 0;
    }
  }

  /** Takes `cost` units. @throws BudgetExceeded */
  charge(cost: number): void {
    this.#left -= cost;
    if (this.#left < 0) throw new BudgetExceeded('operation cancelled: actual cost limit exceeded');
    this.#sinceLook += cost;
    if (++this.#charges < CHARGES_BETWEEN_LOOKS && this.#sinceLook < COST_BETWEEN_LOOKS) return;
    this.#sinceLook = this.#charges = 0;
    if (performance.now() - this.#began > this.#wallMs) throw new BudgetExceeded('operation interrupted: the evaluation took too long');
  }
}
