import { UmiakError } from '#base/errors.ts';
import { jsonEqual } from '#kinds/json-equal.ts';
import type { KubeObject } from '#kinds/kind.ts';
import { checkObject } from '#kinds/schema.ts';
import { applyJsonPatch } from '../patch/json-patch.ts';
import { fromStored, type Resources, type Served } from '../resources.ts';
import { invalid } from '../status.ts';
import type { AdmissionPlugin, AdmittedAs, Write } from '../write.ts';
import { type AdmissionAttributes, attributesOf } from './attributes.ts';
import { Configurations } from './configurations.ts';
import { Dispatcher, type Match } from './dispatcher.ts';
import { serviceResolver } from './service-endpoints.ts';
import { WebhookCaller } from './webhook-caller.ts';

/** Admission webhooks of both sorts, as two plugins: `mutating` belongs behind all built-in mutation, `validating` behind all checks. */
export class Webhooks implements Disposable {
  readonly #caller: WebhookCaller;
  readonly #dispatcher: Dispatcher;
  readonly #mutating: Configurations;
  readonly #validating: Configurations;

  constructor(resources: Resources) {
    const configurations = (plural: string) => new Configurations(resources.stored('admissionregistration.k8s.io', 'v1', plural));
    this.#caller = new WebhookCaller(serviceResolver(resources));
    this.#dispatcher = new Dispatcher({ resources, caller: this.#caller });
    this.#mutating = configurations('mutatingwebhookconfigurations');
    this.#validating = configurations('validatingwebhookconfigurations');
  }

  [Symbol.dispose](): void {
    this.#caller[Symbol.dispose]();
    this.#mutating[Symbol.dispose]();
    this.#validating[Symbol.dispose]();
  }

  /** `again` are the built-in plugins that look once more at what webhooks changed. */
  mutating(again: readonly AdmissionPlugin[]): AdmissionPlugin {
    return {
      name: 'MutatingAdmissionWebhook',
      mutate: write => {
        const { hooks } = this.#mutating;
        if (hooks.length === 0) return;
        const matches = this.#dispatcher.select(hooks, attributesOf(write));
        if (matches.length > 0) return this.#mutate(write, matches, again);
      },
      validate: write => {
        if (write.operation === 'DELETE') return this.#admitUnchanged(attributesOf(write));
      },
    };
  }

  validating(): AdmissionPlugin {
    return {
      name: 'ValidatingAdmissionWebhook',
      validate: write => this.#validate(attributesOf(write)),
    };
  }

  /** Asks about what is no write: connections to pods, evictions. Mutating webhooks may refuse but not change it. */
  admit(attributes: AdmissionAttributes): void | Promise<void> {
    if (this.#mutating.hooks.length === 0 && this.#validating.hooks.length === 0) return;
    return (async () => {
      await this.#admitUnchanged(attributes);
      await this.#validate(attributes);
    })();
  }

  #admitUnchanged(attributes: AdmissionAttributes): void | Promise<void> {
    const matches = this.#dispatcher.select(this.#mutating.hooks, attributes);
    if (matches.length === 0) return;
    return (async () => {
      for (const match of matches) {
        const patch = await this.#dispatcher.ask(match, attributes);
        if (patch?.length) throw unsupported(match.hook.name);
      }
    })();
  }

  /** All at once; the first refusal in order is the one that is told. */
  #validate(attributes: AdmissionAttributes): void | Promise<void> {
    const { hooks } = this.#validating;
    if (hooks.length === 0) return;
    const matches = this.#dispatcher.select(hooks, attributes);
    if (matches.length === 0) return;
    return Promise.allSettled(matches.map(match => this.#dispatcher.ask(match, attributes))).then(outcomes => {
      for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    });
  }

  /** One after another, each on what those before made; then once more those that want to see what came after them. */
  async #mutate(write: Write, matches: Match[], again: readonly AdmissionPlugin[]): Promise<void> {
    const asked = new Set<Match>();
    const concerned = new Set<Match>();
    let isChanged = false;
    for (const match of matches) {
      const changed = await this.#applyOne(write, match);
      if (changed) for (const before of asked) concerned.add(before);
      isChanged ||= changed;
      if (match.hook.isReinvoked) asked.add(match);
    }
    if (!isChanged) return;
    const before = JSON.stringify(write.object);
    for (const plugin of again) await plugin.mutate?.(write);
    if (JSON.stringify(write.object) !== before) for (const match of asked) concerned.add(match);
    for (const match of matches) if (concerned.has(match)) await this.#applyOne(write, match);
  }

  async #applyOne(write: Write, match: Match): Promise<boolean> {
    const patch = await this.#dispatcher.ask(match, attributesOf(write));
    if (!patch?.length) return false;
    const { served, hook } = match;
    if (write.admittedAs) return takeOver(write, write.admittedAs, hook.name, patch);
    const before = fromStored(served, write.object);
    const patched = readPatched(served, hook.name, structuredClone(before), patch);
    const { object, missing } = patched;
    if (jsonEqual(object, before)) return false;
    if (missing.length > 0) throw invalid(served.resource, object.metadata.name ?? '', missing);
    write.object = served.conversion ? served.conversion.toStored(object) : object;
    return true;
  }
}

/** Patches what stands for the object, and takes over what came of it. */
function takeOver({ object }: Write, { show, take }: AdmittedAs, hook: string, patch: unknown[]): boolean {
  if (!take) throw unsupported(hook);
  const before = show(object);
  take(object, applyJsonPatch(structuredClone(before), patch) as KubeObject);
  return !jsonEqual(show(object), before);
}

function unsupported(hook: string): UmiakError {
  const why = `admission webhook "${hook}" attempted to modify the object, which is not supported for this operation`;
  return new UmiakError('InternalError', `Internal error occurred: ${why}`);
}

/** The object with the patch, as if a client had sent it. */
function readPatched({ kind }: Served, hook: string, object: KubeObject, patch: unknown[]): ReturnType<typeof checkObject> {
  try {
    const { name, namespace } = object.metadata;
    const checked = checkObject(kind, applyJsonPatch(object, patch), { fieldValidation: 'Ignore' });
    checked.object.metadata ??= {} as KubeObject['metadata'];
    kind.defaults?.(checked.object);
    const { metadata } = checked.object;
    if (metadata.name !== name || metadata.namespace !== namespace)
      throw new Error('the name and namespace of an object can not be changed');
    return checked;
  } catch (error) {
    throw new UmiakError(
      'InternalError',
      `Internal error occurred: the patch of admission webhook "${hook}" can not be applied: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}
