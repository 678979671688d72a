import { messageOf } from '#base/index.ts';
import type { EventRecorder } from '#client/index.ts';
import type { Pod } from '#kinds/pod.ts';
import { orLeft } from './or-left.ts';
import type { PreparedVolume, VolumeKeeper } from './parts.ts';
import type { Retries } from './retries.ts';

export interface PodVolumesParts {
  volumes: Pick<VolumeKeeper, 'prepare'>;
  events: Pick<EventRecorder, 'warning'>;
  retries: Retries;
  /** The pod is to end. */
  leaving: AbortSignal;
}

/** Its name among the retries. */
const VOLUMES = 'volumes/';

/** One pod's volumes, asked for once a sync. They follow their sources as long as they are asked for. */
export class PodVolumes {
  readonly #parts: PodVolumesParts;
  #mounting: Promise<Map<string, PreparedVolume>> | undefined;

  constructor(parts: PodVolumesParts) {
    this.#parts = parts;
  }

  /** A new sync begins. */
  renew(): void {
    this.#mounting = undefined;
  }

  /** @throws what `keep` says of them */
  mounted(pod: Pod): Promise<Map<string, PreparedVolume>> {
    const { volumes, retries, leaving } = this.#parts;
    if (retries.waitMs(VOLUMES) !== undefined) return Promise.reject(retries.error(VOLUMES));
    this.#mounting ??= orLeft(volumes.prepare(pod), leaving);
    return this.#mounting;
  }

  /** Asks for them; a failure is told, and when to come again returned. */
  async keep(pod: Pod): Promise<number | undefined> {
    const { retries, events, leaving } = this.#parts;
    const waitMs = retries.waitMs(VOLUMES);
    if (waitMs !== undefined) return waitMs;
    try {
      await this.mounted(pod);
      retries.succeeded(VOLUMES);
      return undefined;
    } catch (error) {
      if (leaving.aborted) return undefined;
      events.warning(pod, 'FailedMount', messageOf(error));
      return retries.failed(VOLUMES, error);
    }
  }
}
