import { messageOf, UmiakError } from '#base/errors.ts';
import type { JsonObject } from '#base/json-object.ts';
import type { KubeObject } from '#kinds/kind.ts';
import type { WebhookConversion } from '#kinds/types.gen.ts';
import type { Converter } from '../resources.ts';
import { Layout, StoredObject } from '../stored-object.ts';
import { toTarget, type WebhookCaller } from '../webhooks/webhook-caller.ts';
import { fromReview, toReview } from './conversion-review.ts';
import type { VersionForm } from './custom-kind.ts';
import { prune } from './prune.ts';

/** Objects sent in one call, and how long it may take. */
const BATCH = 200;
const TIMEOUT_SECONDS = 30;

/** The layout of a resource whose stored objects may be of any of its versions, each kept as it was written. */
export class VersionedLayout extends Layout {
  readonly #forms: readonly Layout[];

  constructor(storage: Layout, forms: readonly Layout[]) {
    super(storage.apiVersion, storage.kind, storage.selectableFields);
    this.#forms = forms;
  }

  /** The layout that a text was written in. */
  override of(value: Buffer): Layout {
    return this.#forms.find(({ head }) => value.length > head.length && head.compare(value, 0, head.length) === 0) ?? this;
  }
}

export interface WebhookConverterOptions {
  webhook: WebhookConversion;
  caller: WebhookCaller;
  /** The version that is shown, and the one that is stored. */
  shown: VersionForm;
  storage: VersionForm;
}

/** Has a conversion webhook turn stored objects into one served version and back. What it made of an object is remembered with that object. */
export class WebhookConverter implements Converter {
  readonly #options: WebhookConverterOptions;
  readonly #known = new WeakMap<StoredObject, StoredObject>();

  constructor(options: WebhookConverterOptions) {
    this.#options = options;
  }

  get layout(): Layout {
    return this.#options.shown.layout;
  }

  async show(objects: readonly StoredObject[]): Promise<StoredObject[]> {
    const { layout } = this;
    const other = objects.filter(object => object.layout.apiVersion !== layout.apiVersion && !this.#known.has(object));
    for (let i = 0; i < other.length; i += BATCH) {
      const batch = other.slice(i, i + BATCH);
      const converted = await this.#convert(
        batch.map(object => object.object()),
        this.#options.shown,
      );
      converted.forEach((object, at) => {
        const from = batch[at]!;
        this.#known.set(from, new StoredObject(layout, from.key, layout.encode(object), from.revision));
      });
    }
    return objects.map(object => this.shown(object));
  }

  shown(object: StoredObject): StoredObject {
    return this.#known.get(object) ?? object;
  }

  async encode(object: KubeObject): Promise<Buffer> {
    const { storage } = this.#options;
    if (object.apiVersion === storage.layout.apiVersion) return storage.layout.encode(object);
    const [converted] = await this.#convert([object], storage);
    return storage.layout.encode(converted!);
  }

  async #convert(objects: KubeObject[], { layout: { apiVersion }, rules }: VersionForm): Promise<KubeObject[]> {
    const { webhook, caller } = this.#options;
    try {
      const review = toReview(webhook.conversionReviewVersions, apiVersion, objects);
      const answer = await caller.post(toTarget(webhook.clientConfig ?? {}, TIMEOUT_SECONDS), review.body, TIMEOUT_SECONDS * 1000);
      const converted = fromReview(answer, review, apiVersion, objects);
      for (const object of converted) prune(object as unknown as JsonObject, rules.schema);
      return converted;
    } catch (error) {
      const { apiVersion: from, kind } = objects[0]!;
      const why = messageOf(error).replace(/^failed to call webhook: /, '');
      throw new UmiakError('InternalError', `conversion webhook for ${from}, Kind=${kind} failed: ${why}`, { cause: error });
    }
  }
}
