import { X509Certificate } from 'node:crypto';
import type { Clock } from '#base/clock.ts';
import { messageOf } from '#base/errors.ts';
import type { Log } from '#base/log.ts';
import type { CertificatePair } from './ca.ts';
import { renewalMomentOf } from './certificate-request.ts';

export interface CertificateKeeperOptions {
  clock: Clock;
  log: Log;
  /** Those in use now. */
  pairs: readonly CertificatePair[];
  /** Issues anew what is due (`CertificateAuthority.ensure` does), puts it to use, and gives all that is in use then. */
  renew: () => Promise<readonly CertificatePair[]>;
}

const AGAIN_MS = 60_000;

/** Has certificates renewed when a third of their life is left, while everything goes on. */
export class CertificateKeeper implements AsyncDisposable {
  readonly #options: CertificateKeeperOptions;
  #timer: Disposable | undefined;
  #renewing: Promise<void> | undefined;
  #isEnded = false;

  constructor(options: CertificateKeeperOptions) {
    this.#options = options;
    this.#plan(options.pairs);
  }

  #plan(pairs: readonly CertificatePair[]): void {
    const moment = Math.min(...pairs.map(({ certificate }) => renewalMomentOf(new X509Certificate(certificate))));
    this.#after(Math.max(1000, moment - this.#options.clock.now()));
  }

  #after(ms: number): void {
    if (this.#isEnded) return;
    this.#timer = this.#options.clock.after(ms, () => {
      this.#renewing = this.#renew();
    });
  }

  async #renew(): Promise<void> {
    const { renew, log } = this.#options;
    try {
      this.#plan(await renew());
    } catch (error) {
      log.error('certificates could not be renewed; it is tried again', { error: messageOf(error), againInMs: AGAIN_MS });
      this.#after(AGAIN_MS);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnded = true;
    this.#timer?.[Symbol.dispose]();
    await this.#renewing;
  }
}
