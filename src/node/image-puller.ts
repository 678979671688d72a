import { type Clock, UmiakError } from '#base/index.ts';
import type { EventRecorder } from '#client/index.ts';
import { type ImageStore, parseReference } from '#images/index.ts';
import type { Pod } from '#kinds/pod.ts';
import type { ContainerSpec, ImagePuller } from './parts.ts';

export interface LocalImagePullerOptions {
  images: ImageStore;
  events: EventRecorder;
  clock: Clock;
}

const FIRST_BACKOFF_MS = 10_000;
const LAST_BACKOFF_MS = 300_000;

/** Pulls into the machine's image store by the container's policy. */
export class LocalImagePuller implements ImagePuller {
  readonly #options: LocalImagePullerOptions;
  readonly #failures = new Map<string, { count: number; untilMs: number; error: unknown }>();

  constructor(options: LocalImagePullerOptions) {
    this.#options = options;
  }

  async ensure(
    pod: Pod,
    { image = '', name, imagePullPolicy = 'IfNotPresent' }: ContainerSpec,
  ): Promise<{ imageId: string; pulled: boolean }> {
    const { images, events } = this.#options;
    parseReference(image);
    const present = await images.inspect(image).catch(() => undefined);
    if (present && imagePullPolicy !== 'Always') {
      await images.ensureUnpacked(image);
      events.normal(pod, 'Pulled', `Container image "${image}" already present on machine`);
      return { imageId: present.id, pulled: false };
    }
    if (imagePullPolicy === 'Never') {
      events.warning(pod, 'ErrImageNeverPull', `Container image "${image}" is not present with pull policy of Never`);
      throw new UmiakError('NotFound', `Container image "${image}" is not present with pull policy of Never`);
    }
    return this.#pull(pod, name, image);
  }

  async #pull(pod: Pod, container: string, image: string): Promise<{ imageId: string; pulled: boolean }> {
    const { images, events, clock } = this.#options;
    const failed = this.#failures.get(image);
    if (failed && failed.untilMs > clock.now()) {
      events.normal(pod, 'BackOff', `Back-off pulling image "${image}"`);
      throw failed.error;
    }
    events.normal(pod, 'Pulling', `Pulling image "${image}"`);
    const began = clock.monotonic();
    try {
      const { id, sizeBytes } = await images.pull(image);
      this.#failures.delete(image);
      const ms = Math.round(clock.monotonic() - began);
      events.normal(pod, 'Pulled', `Successfully pulled image "${image}" in ${ms}ms. Image size: ${sizeBytes} bytes.`);
      return { imageId: id, pulled: true };
    } catch (error) {
      const count = (failed?.count ?? 0) + 1;
      const untilMs = clock.now() + Math.min(FIRST_BACKOFF_MS * 2 ** (count - 1), LAST_BACKOFF_MS);
      this.#failures.set(image, { count, untilMs, error });
      events.warning(
        pod,
        'Failed',
        `Failed to pull image "${image}" for container ${container}: ${error instanceof Error ? error.message : String(error)}`,
      );
      throw error;
    }
  }
}
