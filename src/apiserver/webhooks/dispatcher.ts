import { isUmiakError, messageOf } from '#base/errors.ts';
import type { Resources, Served } from '../resources.ts';
import { badRequest, forbidden } from '../status.ts';
import type { AdmissionAttributes } from './attributes.ts';
import type { Hook } from './configurations.ts';
import { failedCall, fromAdmissionReview, toAdmissionRequest, toDenial } from './review.ts';
import { servedFor } from './rules.ts';
import { SelectorMatcher } from './selectors.ts';
import type { WebhookCaller } from './webhook-caller.ts';

/** What the objects that decide about admission are exempt from, so that nobody can lock himself out. */
const EXEMPT_GROUP = 'admissionregistration.k8s.io';

/** A webhook that is to be asked, and the version it sees. */
export interface Match {
  hook: Hook;
  served: Served;
}

/** Chooses webhooks and asks them. */
export class Dispatcher {
  readonly #resources: Resources;
  readonly #selectors: SelectorMatcher;
  readonly #caller: WebhookCaller;

  constructor({ resources, caller }: { resources: Resources; caller: WebhookCaller }) {
    this.#resources = resources;
    this.#selectors = new SelectorMatcher(resources);
    this.#caller = caller;
  }

  /** The webhooks that rules and selectors name for the request, in their order. Conditions are asked later. */
  select(hooks: readonly Hook[], attributes: AdmissionAttributes): Match[] {
    if (hooks.length === 0 || attributes.served.resource.group === EXEMPT_GROUP) return [];
    return hooks.flatMap(hook => {
      const served = servedFor(hook.rules, hook.matchPolicy, attributes, this.#resources.all);
      return served && this.#selectors.matches(hook, attributes) ? [{ hook, served }] : [];
    });
  }

  /**
   * Asks one webhook. Gives its patch, or undefined when there is none, its conditions say no or its failure does not matter.
   * @throws its refusal, or its failure
   */
  async ask({ hook, served }: Match, attributes: AdmissionAttributes): Promise<unknown[] | undefined> {
    const request = toAdmissionRequest(attributes, served);
    if (hook.conditions) {
      const result = (await hook.conditions()).evaluate({ request, object: request.object, oldObject: request.oldObject });
      if ('error' in result) {
        if (hook.ignoresFailure) return undefined;
        throw forbidden(attributes.served.resource, attributes.name, result.error);
      }
      if (!result.matches) return undefined;
    }
    if (attributes.dryRun && !hook.isPure) throw badRequest(`admission webhook "${hook.name}" does not support dry run`);
    try {
      return await this.#call(hook, request, attributes);
    } catch (error) {
      if (isUmiakError(error)) throw error;
      if (hook.ignoresFailure) {
        this.#annotate(attributes, `failed-open.${hook.configuration}`, hook.name);
        return undefined;
      }
      throw failedCall(hook.name, messageOf(error));
    }
  }

  async #call(hook: Hook, request: ReturnType<typeof toAdmissionRequest>, attributes: AdmissionAttributes): Promise<unknown[] | undefined> {
    const version = hook.reviewVersion;
    if (!version) throw new Error('webhook does not accept v1 or v1beta1 AdmissionReview requests');
    const review = { kind: 'AdmissionReview', apiVersion: `admission.k8s.io/${version}`, request };
    const answer = await this.#caller.post(hook.target, review, hook.timeoutMs);
    const verdict = fromAdmissionReview(answer, version, request.uid);
    attributes.warnings.push(...verdict.warnings);
    for (const [key, value] of Object.entries(verdict.auditAnnotations)) this.#annotate(attributes, `${hook.name}/${key}`, value);
    if (!verdict.allowed) throw toDenial(hook.name, verdict.status);
    return verdict.patch;
  }

  #annotate({ annotations }: AdmissionAttributes, key: string, value: string): void {
    if (annotations) annotations[key] = value;
  }
}
