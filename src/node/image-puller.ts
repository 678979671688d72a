import { type Clock, isUmiakError, messageOf } from '#base/index.ts';
import type { EventRecorder } from '#client/index.ts';
import { type ImageRecord, type ImageStore, parseReference, type RegistryAuth } from '#images/index.ts';
import type { Pod } from '#kinds/pod.ts';
import type { Secret } from '#kinds/secret.ts';
import type { CredentialProviders } from './credential-providers.ts';
import { ImageError, type ImagePuller, type PresentImage, type WantedImage } from './parts.ts';
import { credentialsFor } from './pull-credentials.ts';
import { Retries } from './retries.ts';
import type { ObjectSource } from './volumes/object-source.ts';

export interface LocalImagePullerOptions {
  images: Pick<ImageStore, 'inspect' | 'ensureUnpacked' | 'pull'>;
  /** For imagePullSecrets; without it nobody logs in. */
  objects?: Pick<ObjectSource, 'secret'>;
  events: Pick<EventRecorder, 'normal' | 'warning'>;
  clock: Clock;
  /** The machine's own ways to a login; asked after imagePullSecrets, by those alone whose images match. */
  providers?: Pick<CredentialProviders, 'loginsFor'>;
}

const FIRST_BACKOFF_MS = 10_000;
const LAST_BACKOFF_MS = 300_000;
/** While a pull waits for its turn, the image may come another way: loaded, or pulled for somebody else. */
const LOOK_AGAIN_MS = 10_000;

/** Pulls into the machine's image store by the container's policy. The store makes one of pulls of the same image at the same time. */
export class LocalImagePuller implements ImagePuller {
  readonly #options: LocalImagePullerOptions;
  /** By pod and image, as the kubelet does: a new pod tries at once. */
  readonly #retries: Retries<ImageError>;

  constructor(options: LocalImagePullerOptions) {
    this.#options = options;
    this.#retries = new Retries({ clock: options.clock, firstMs: FIRST_BACKOFF_MS, lastMs: LAST_BACKOFF_MS });
  }

  async ensure(pod: Pod, { image = '', imagePullPolicy = 'IfNotPresent' }: WantedImage, signal?: AbortSignal): Promise<PresentImage> {
    const { events } = this.#options;
    try {
      parseReference(image);
    } catch (cause) {
      events.warning(
        pod,
        'InspectFailed',
        `Failed to apply default image tag "${image}": couldn't parse image name "${image}": ${messageOf(cause)}`,
      );
      throw new ImageError('InvalidImageName', messageOf(cause), { cause });
    }
    const present = await this.#find(pod, image);
    if (present && imagePullPolicy !== 'Always') {
      events.normal(pod, 'Pulled', `Container image "${image}" already present on machine`);
      return toPresent(present, false);
    }
    if (imagePullPolicy === 'Never') {
      const message = `Container image "${image}" is not present with pull policy of Never`;
      events.warning(pod, 'ErrImageNeverPull', message);
      throw new ImageError('ErrImageNeverPull', message, { retryInMs: LOOK_AGAIN_MS });
    }
    return this.#pull(pod, image, signal);
  }

  /** The image, unpacked; undefined when it is not here. */
  async #find(pod: Pod, image: string): Promise<ImageRecord | undefined> {
    const { images, events } = this.#options;
    try {
      const present = await images.inspect(image);
      await images.ensureUnpacked(image);
      return present;
    } catch (cause) {
      if (isUmiakError(cause, 'NotFound')) return undefined;
      events.warning(pod, 'InspectFailed', `Failed to inspect image "${image}": ${messageOf(cause)}`);
      throw new ImageError('ImageInspectError', messageOf(cause), { cause });
    }
  }

  async #pull(pod: Pod, image: string, signal: AbortSignal | undefined): Promise<PresentImage> {
    const { events, clock } = this.#options;
    const key = `${pod.metadata.uid}/${image}`;
    const waitMs = this.#retries.waitMs(key);
    const failure = this.#retries.error(key);
    if (failure && waitMs !== undefined) {
      const message = `Back-off pulling image "${image}"`;
      events.normal(pod, 'BackOff', message);
      const retryInMs = Math.min(waitMs, LOOK_AGAIN_MS);
      throw new ImageError('ImagePullBackOff', `${message}: ErrImagePull: ${failure.message}`, { cause: failure, retryInMs });
    }
    events.normal(pod, 'Pulling', `Pulling image "${image}"`);
    const began = clock.monotonic();
    try {
      const record = await this.#pullWithLogins(pod, image, signal);
      this.#retries.succeeded(key);
      const took = inGoWords(clock.monotonic() - began);
      const message = `Successfully pulled image "${image}" in ${took} (${took} including waiting). Image size: ${record.sizeBytes} bytes.`;
      events.normal(pod, 'Pulled', message);
      return toPresent(record, true);
    } catch (cause) {
      if (signal?.aborted) throw cause;
      const error = new ImageError('ErrImagePull', `failed to pull image "${image}": ${messageOf(cause)}`, {
        cause,
      });
      this.#retries.failed(key, error);
      events.warning(pod, 'Failed', `Failed to pull image "${image}": ${messageOf(cause)}`);
      throw error;
    }
  }

  /** With each login that the pod's Secrets and the machine's providers have for this image in turn; without any if there is none. */
  async #pullWithLogins(pod: Pod, image: string, signal: AbortSignal | undefined): Promise<ImageRecord> {
    const logins: (RegistryAuth | undefined)[] = credentialsFor(image, await this.#secrets(pod));
    const { logins: provided, failures } = (await this.#options.providers?.loginsFor(image)) ?? { logins: [], failures: [] };
    logins.push(...provided);
    for (const failure of failures) {
      const message = `Unable to retrieve credentials (${messageOf(failure)}); attempting to pull the image may not succeed.`;
      this.#options.events.warning(pod, 'FailedToRetrieveImagePullSecret', message);
    }
    const last = logins.pop();
    const pull = (auth: RegistryAuth | undefined) =>
      this.#options.images.pull(image, { ...(auth ? { auth } : {}), ...(signal ? { signal } : {}) });
    for (const auth of logins) {
      try {
        return await pull(auth);
      } catch (error) {
        if (!isUmiakError(error, 'Unauthorized') && !isUmiakError(error, 'Forbidden') && !isUmiakError(error, 'NotFound')) throw error;
      }
    }
    return pull(last);
  }

  async #secrets({ metadata, spec, ...pod }: Pod): Promise<Secret[]> {
    const { objects, events } = this.#options;
    const names = [...new Set((spec.imagePullSecrets ?? []).flatMap(({ name }) => name || []))];
    if (!objects || names.length === 0) return [];
    const use = { user: metadata.uid, purpose: 'pull', changed: () => {} } as const;
    const found = await Promise.all(names.map(name => objects.secret(metadata.namespace ?? '', name, use)));
    const missing = names.filter((_, i) => !found[i]);
    if (missing.length > 0) {
      const message = `Unable to retrieve some image pull secrets (${missing.join(', ')}); attempting to pull the image may not succeed.`;
      events.warning({ ...pod, metadata }, 'FailedToRetrieveImagePullSecret', message);
    }
    return found.filter(secret => secret !== undefined);
  }
}

function toPresent({ id, config }: ImageRecord, pulled: boolean): PresentImage {
  return { imageId: id, pulled, user: config.config?.User };
}

/** `350ms`, `1.25s`: as Go writes durations. */
function inGoWords(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)}ms` : `${Number((ms / 1000).toFixed(3))}s`;
}
