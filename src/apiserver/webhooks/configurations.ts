import { requirementsOf } from '#base/label-selector.ts';
import type { MatchCondition, MutatingWebhookConfiguration, RuleWithOperations } from '#kinds/types.gen.ts';
import type { Stored } from '../resources.ts';
import { type ConditionMatcher, compileConditions } from './match-conditions.ts';
import { reviewVersion } from './review.ts';
import type { AdmissionSelectors } from './selectors.ts';
import { toTarget, type WebhookTarget } from './webhook-caller.ts';

/** One webhook of a configuration, ready for use. */
export interface Hook extends AdmissionSelectors {
  readonly name: string;
  readonly configuration: string;
  readonly rules: readonly RuleWithOperations[];
  readonly matchPolicy: string;
  readonly ignoresFailure: boolean;
  /** Safe to ask for a dry run. */
  readonly isPure: boolean;
  readonly timeoutMs: number;
  readonly isReinvoked: boolean;
  readonly reviewVersion: string | undefined;
  readonly target: WebhookTarget;
  /** Undefined: it is always asked. */
  readonly conditions?: () => Promise<ConditionMatcher>;
}

/** The webhooks of all configurations of one kind, as the cache has them: by configuration's name, then in their order. */
export class Configurations implements Disposable {
  readonly #configurations: Stored;
  readonly #listening: Disposable;
  #hooks: readonly Hook[] | undefined;

  constructor(configurations: Stored) {
    this.#configurations = configurations;
    this.#listening = configurations.cache.listen(changes => {
      if (changes.length > 0) this.#hooks = undefined;
    });
  }

  get hooks(): readonly Hook[] {
    this.#hooks ??= [...this.#configurations.cache.now.range('', '\uffff')].flatMap(stored =>
      hooksOf(stored.object<MutatingWebhookConfiguration>()),
    );
    return this.#hooks;
  }

  [Symbol.dispose](): void {
    this.#listening[Symbol.dispose]();
  }
}

function hooksOf({ metadata, webhooks = [] }: MutatingWebhookConfiguration): Hook[] {
  return webhooks.map(webhook => {
    const { name, timeoutSeconds = 10, matchConditions = [] } = webhook;
    return {
      name,
      configuration: metadata.name,
      rules: webhook.rules ?? [],
      matchPolicy: webhook.matchPolicy ?? 'Equivalent',
      namespaceSelector: requirementsOf(webhook.namespaceSelector ?? {}),
      objectSelector: requirementsOf(webhook.objectSelector ?? {}),
      ignoresFailure: webhook.failurePolicy === 'Ignore',
      isPure: webhook.sideEffects === 'None' || webhook.sideEffects === 'NoneOnDryRun',
      timeoutMs: timeoutSeconds * 1000,
      isReinvoked: webhook.reinvocationPolicy === 'IfNeeded',
      reviewVersion: reviewVersion(webhook.admissionReviewVersions),
      target: toTarget(webhook.clientConfig, timeoutSeconds),
      ...(matchConditions.length > 0 && { conditions: once(matchConditions) }),
    };
  });
}

function once(conditions: readonly MatchCondition[]): () => Promise<ConditionMatcher> {
  let matcher: Promise<ConditionMatcher> | undefined;
  return () => {
    matcher ??= compileConditions(conditions);
    return matcher;
  };
}
