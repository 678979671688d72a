import { type AccessQuestion, authorizerValue, Budget, CelError, type CelValue, resourceCheckValue } from '#cel/index.ts';
import type { KubeObject } from '#kinds/kind.ts';
import type { Authorizer, Identity } from '../identity.ts';
import type { AdmissionAttributes } from '../webhooks/attributes.ts';
import type { AdmissionRequest } from '../webhooks/review.ts';
import { type CompiledExpression, programOf } from './environment.ts';

/** What expressions of one request read. */
export interface Subject {
  attributes: AdmissionAttributes;
  /** The request in the version that the policy sees. */
  request: AdmissionRequest;
  params: KubeObject | null;
  namespaceObject: object | null;
  authorize: Authorizer;
}

const CONDITIONS_COST = 2_500_000;
const POLICY_COST = 10_000_000;

/** One evaluation of a policy's expressions for one request and one parameter. Variables are evaluated once, when first read. */
export class Evaluation {
  readonly #variables: Readonly<Record<string, unknown>>;
  readonly #conditionsBudget = new Budget({ total: CONDITIONS_COST });
  readonly #budget = new Budget({ total: POLICY_COST });

  constructor(subject: Subject, compiled: readonly CompiledExpression[]) {
    const { attributes, request, params, namespaceObject } = subject;
    const ask = askAs(subject);
    this.#variables = {
      object: request.object,
      oldObject: request.oldObject,
      request,
      params,
      namespaceObject,
      authorizer: authorizerValue(ask),
      'authorizer.requestResource': resourceCheckValue(ask, {
        group: attributes.served.resource.group,
        resource: attributes.served.resource.plural,
        subresource: attributes.subresource,
        namespace: attributes.namespace,
        name: attributes.name,
      }),
      variables: this.#composed(compiled),
    };
  }

  /** The value of an expression. @throws Error in upstream's words */
  run(expression: CompiledExpression): CelValue {
    const budget = expression.sort === 'condition' ? this.#conditionsBudget : this.#budget;
    const result = programOf(expression).evaluate(this.#variables, budget);
    if (result.error === undefined) return result.value;
    throw new Error(`expression '${expression.expression}' resulted in error: ${result.error}`);
  }

  #composed(compiled: readonly CompiledExpression[]): object {
    const variables = {};
    for (const expression of compiled) {
      if (expression.name === undefined) continue;
      const { name } = expression;
      Object.defineProperty(variables, name, {
        configurable: true,
        enumerable: true,
        get: () => {
          const value = this.#variable(expression);
          Object.defineProperty(variables, name, { value });
          return value;
        },
      });
    }
    return variables;
  }

  #variable(expression: CompiledExpression): CelValue {
    const why = (error: string) => new CelError(`composited variable "${expression.name}" fails to evaluate: ${error}`);
    if (!expression.result.ok) throw why(expression.result.error);
    const result = expression.result.program.evaluate(this.#variables, this.#budget);
    if (result.error !== undefined) throw why(result.error);
    return result.value;
  }
}

/** The authorizer as expressions ask it: as the requester, or as a service account. */
function askAs({ attributes, authorize }: Subject) {
  return ({ serviceAccount, ...question }: AccessQuestion) => {
    const decision = authorize({
      identity: serviceAccount ? identityOf(serviceAccount) : attributes.identity,
      group: '',
      version: '*',
      resource: '',
      subresource: '',
      namespace: '',
      name: '',
      ...question,
    });
    return decision instanceof Promise ? { allowed: false, error: 'the authorizer does not answer at once' } : decision;
  };
}

function identityOf({ namespace, name }: { namespace: string; name: string }): Identity {
  return {
    name: `system:serviceaccount:${namespace}:${name}`,
    groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
  };
}
