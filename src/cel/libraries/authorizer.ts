import { define, type Overload, type OverloadSizes } from '../overload.ts';
import { opaque } from '../types.ts';
import { OpaqueValue } from '../values.ts';

const PACKAGE = 'kubernetes.authorization';
const CHECK: OverloadSizes = { cost: () => 350_000 };

/** The types of the variables `authorizer` and `authorizer.requestResource`. */
export const AUTHORIZER = opaque(`${PACKAGE}.Authorizer`);
export const RESOURCE_CHECK = opaque(`${PACKAGE}.ResourceCheck`);

/** What an expression asks of the authorizer. */
export interface AccessQuestion {
  verb: string;
  /** A non-resource path; all else is empty then. */
  path?: string;
  group?: string;
  resource?: string;
  subresource?: string;
  namespace?: string;
  name?: string;
  fieldSelector?: string;
  labelSelector?: string;
  /** Asked for another than the requester. */
  serviceAccount?: { namespace: string; name: string };
}

/** The answer to one question. */
export interface AccessAnswer {
  allowed: boolean;
  reason?: string;
  error?: string;
}

/** The caller's authorizer: it knows who asks. */
export type AskAccess = (question: AccessQuestion) => AccessAnswer;

class CheckValue extends OpaqueValue {
  readonly typeName: string;
  readonly ask: AskAccess;
  readonly question: Omit<AccessQuestion, 'verb'>;
  constructor(typeName: string, ask: AskAccess, question: Omit<AccessQuestion, 'verb'>) {
    super();
    this.typeName = typeName;
    this.ask = ask;
    this.question = question;
  }
  equals(other: OpaqueValue): boolean {
    return this === other;
  }
  with(typeName: string, more: Partial<AccessQuestion>): CheckValue {
    return new CheckValue(`${PACKAGE}.${typeName}`, this.ask, { ...this.question, ...more });
  }
}

class DecisionValue extends OpaqueValue {
  readonly typeName = `${PACKAGE}.Decision`;
  readonly answer: AccessAnswer;
  constructor(answer: AccessAnswer) {
    super();
    this.answer = answer;
  }
  equals(other: OpaqueValue): boolean {
    return other instanceof DecisionValue && other.answer.allowed === this.answer.allowed;
  }
}

/** The value of the variable `authorizer`. */
export function authorizerValue(ask: AskAccess): OpaqueValue {
  return new CheckValue(AUTHORIZER.name, ask, {});
}

/** The value of the variable `authorizer.requestResource`. */
export function resourceCheckValue(ask: AskAccess, question: Omit<AccessQuestion, 'verb'>): OpaqueValue {
  return new CheckValue(RESOURCE_CHECK.name, ask, question);
}

const A = AUTHORIZER.name;
const R = RESOURCE_CHECK.name;
const check = (on: CheckValue, verb: string) => new DecisionValue(on.ask({ ...on.question, verb }));

/** The authorizer's members. */
export const authorizers: readonly Overload[] = [
  define(`${A}.path(string): ${PACKAGE}.PathCheck`, (on: CheckValue, path: string) => on.with('PathCheck', { path })),
  define(`${A}.group(string): ${PACKAGE}.GroupCheck`, (on: CheckValue, group: string) => on.with('GroupCheck', { group })),
  define(`${A}.serviceAccount(string, string): ${A}`, (on: CheckValue, namespace: string, name: string) =>
    on.with('Authorizer', { serviceAccount: { namespace, name } }),
  ),
  define(`${PACKAGE}.GroupCheck.resource(string): ${R}`, (on: CheckValue, resource: string) => on.with('ResourceCheck', { resource })),
  define(`${R}.subresource(string): ${R}`, (on: CheckValue, subresource: string) => on.with('ResourceCheck', { subresource })),
  define(`${R}.namespace(string): ${R}`, (on: CheckValue, namespace: string) => on.with('ResourceCheck', { namespace })),
  define(`${R}.name(string): ${R}`, (on: CheckValue, name: string) => on.with('ResourceCheck', { name })),
  define(`${R}.fieldSelector(string): ${R}`, (on: CheckValue, fieldSelector: string) => on.with('ResourceCheck', { fieldSelector })),
  define(`${R}.labelSelector(string): ${R}`, (on: CheckValue, labelSelector: string) => on.with('ResourceCheck', { labelSelector })),
  define(`${R}.check(string): ${PACKAGE}.Decision`, check, CHECK),
  define(`${PACKAGE}.PathCheck.check(string): ${PACKAGE}.Decision`, check, CHECK),
  define(`${PACKAGE}.Decision.allowed(): bool`, ({ answer }: DecisionValue) => answer.allowed),
  define(`${PACKAGE}.Decision.reason(): string`, ({ answer }: DecisionValue) => answer.reason ?? ''),
  define(`${PACKAGE}.Decision.errored(): bool`, ({ answer }: DecisionValue) => answer.error !== undefined),
  define(`${PACKAGE}.Decision.error(): string`, ({ answer }: DecisionValue) => answer.error ?? ''),
];
