import { randomUUID } from 'node:crypto';
import type { AuditDecision, AuditPolicy, AuditRecord, AuditSink, AuditStage, AuditUser } from '#audit/index.ts';
import type { Clock } from '#base/clock.ts';
import { isUmiakError } from '#base/errors.ts';
import type { KubeObject } from '#kinds/kind.ts';
import { bodyTypeOf, parseBody } from './body.ts';
import type { Identity } from './identity.ts';
import type { Step } from './pipeline.ts';
import { toListValue, toValue } from './render.ts';
import type { ApiRequest, Context, ListOutcome, Outcome } from './request.ts';
import { toStatus } from './status.ts';

export interface AuditStepOptions {
  policy: AuditPolicy;
  sink: AuditSink;
  clock: Clock;
}

/** Writes down what a request is and what came of it, as the policy says. */
export function auditStep({ policy, sink, clock }: AuditStepOptions): Step {
  return async (context, next) => {
    const decision = policy(describe(context));
    if (decision.level === 'None') return await next();
    const entry = new Entry(context, decision, { sink, clock });
    entry.write('RequestReceived');
    let outcome: Outcome;
    try {
      outcome = await next();
    } catch (error) {
      const status = toStatus(error);
      entry.write(isUmiakError(error) ? 'ResponseComplete' : 'Panic', { status, value: status });
      throw error;
    }
    if (outcome.type === 'watch' || outcome.type === 'stream') {
      const status = { code: 200 };
      entry.write('ResponseStarted', { status });
      context.ended = () => entry.write('ResponseComplete', { status });
    } else {
      const value = outcome.type === 'list' && decision.level === 'RequestResponse' ? await shownList(outcome, context) : undefined;
      entry.write('ResponseComplete', { status: { code: codeOf(outcome) }, outcome, value });
    }
    return outcome;
  };
}

interface Answer {
  status: { code: number; status?: string; reason?: string | undefined; message?: string | undefined };
  outcome?: Outcome;
  value?: unknown;
}

/** What is written about one request, at one stage after the other. */
class Entry {
  readonly #context: Context;
  readonly #decision: AuditDecision;
  readonly #sink: AuditSink;
  readonly #clock: Clock;
  readonly #base: Pick<AuditRecord, 'auditID' | 'requestReceivedTimestamp' | 'user'>;
  #requestObject: unknown;

  constructor(context: Context, decision: AuditDecision, { sink, clock }: { sink: AuditSink; clock: Clock }) {
    this.#context = context;
    this.#decision = decision;
    this.#sink = sink;
    this.#clock = clock;
    const given = context.request.headers['audit-id'];
    const auditID = typeof given === 'string' && /^[\w-]{1,64}$/.test(given) ? given : randomUUID();
    this.#base = { auditID, requestReceivedTimestamp: this.#now(), user: toUser(context.identity) };
    context.annotations = {};
    context.request.extraHeaders = { ...context.request.extraHeaders, 'audit-id': auditID };
    if (decision.level !== 'Metadata') this.#followBody(context.request);
  }

  write(stage: AuditStage, { status, outcome, value }: Partial<Answer> = {}): void {
    const { level, omitStages } = this.#decision;
    if (level === 'None' || omitStages.has(stage)) return;
    const { request, identity, impersonator, annotations = {} } = this.#context;
    const { verb, objectRef } = this.#target(outcome);
    const record: AuditRecord = {
      kind: 'Event',
      apiVersion: 'audit.k8s.io/v1',
      level,
      ...this.#base,
      stage,
      requestURI: request.url,
      verb,
      sourceIPs: sourcesOf(request),
      stageTimestamp: this.#now(),
    };
    const agent = request.headers['user-agent'];
    if (agent) record.userAgent = agent.slice(0, 1024);
    if (objectRef) record.objectRef = objectRef;
    if (impersonator) record.impersonatedUser = toUser(identity);
    if (status) {
      const { code, status: word, reason, message } = status;
      record.responseStatus = { metadata: {}, code, ...(word && { status: word }), ...(reason && { reason }), ...(message && { message }) };
    }
    if (stage !== 'RequestReceived' && this.#requestObject !== undefined) record.requestObject = this.#trimmed(this.#requestObject);
    if (level === 'RequestResponse' && status) {
      const shown = value ?? (outcome && shownValue(outcome, this.#context));
      if (shown !== undefined) record.responseObject = this.#trimmed(shown);
    }
    if (Object.keys(annotations).length > 0) record.annotations = annotations;
    this.#sink.write(record);
  }

  #target(outcome: Outcome | undefined): Pick<AuditRecord, 'verb' | 'objectRef'> {
    const { route } = this.#context;
    if (route.type === 'path') return { verb: route.verb };
    const { served, verb, namespace, name, subresource } = route;
    const { group, version, plural } = served.resource;
    const made = outcome?.type === 'stored' ? outcome.object.object().metadata : undefined;
    const full = this.#decision.level !== 'Metadata';
    return {
      verb,
      objectRef: {
        resource: plural,
        ...(namespace && { namespace }),
        ...((name || made?.name) && { name: name || (made?.name ?? '') }),
        ...(full && made?.uid && { uid: made.uid }),
        ...(group && { apiGroup: group }),
        apiVersion: version,
        ...(full && made?.resourceVersion && { resourceVersion: made.resourceVersion }),
        ...(subresource && { subresource }),
      },
    };
  }

  /** Looks at the body when the request's work reads it. */
  #followBody(request: ApiRequest): void {
    const readBody = request.readBody.bind(request);
    const follow = async () => {
      const bytes = await readBody();
      if (bytes.length > 0) this.#requestObject = parsed(bytes, request);
      return bytes;
    };
    Object.defineProperty(request, 'readBody', { value: follow, configurable: true });
  }

  #trimmed(value: unknown): unknown {
    if (!this.#decision.omitManagedFields || typeof value !== 'object' || value === null) return value;
    const { metadata, items } = value as Partial<KubeObject> & { items?: unknown };
    if (Array.isArray(items)) return { ...value, items: items.map(item => this.#trimmed(item)) };
    if (!metadata?.managedFields) return value;
    const { managedFields: _dropped, ...kept } = metadata;
    return { ...value, metadata: kept };
  }

  #now(): string {
    return new Date(this.#clock.now()).toISOString().replace('Z', '000Z');
  }
}

function describe({ identity, route }: Context): Parameters<AuditPolicy>[0] {
  const who = { user: identity.name, groups: identity.groups, verb: route.verb };
  if (route.type === 'path') return { ...who, group: '', resource: undefined, subresource: '', namespace: '', name: '', path: route.path };
  const { served, namespace, name, subresource } = route;
  return { ...who, group: served.resource.group, resource: served.resource.plural, subresource, namespace, name, path: '' };
}

function parsed(bytes: Buffer, { headers }: ApiRequest): unknown {
  try {
    const type = headers['content-type'] ?? '';
    return parseBody(bytes, /patch/.test(type) ? (/yaml/.test(type) ? 'yaml' : 'json') : bodyTypeOf(type));
  } catch {
    return undefined; // the request's own work says what is wrong with it
  }
}

function shownValue(outcome: Outcome, { media, query }: Context): unknown {
  return outcome.type === 'stored' || outcome.type === 'value' ? toValue(outcome, media.as, query, 0) : undefined;
}

function shownList(outcome: ListOutcome, { media, query }: Context): Promise<object> {
  return toListValue(outcome, media.as, query, 0);
}

function codeOf(outcome: Outcome): number {
  return 'status' in outcome ? outcome.status : outcome.type === 'upgrade' ? 101 : 200;
}

function toUser({ name, uid, groups, extra }: Identity): AuditUser {
  return { username: name, ...(uid && { uid }), groups, ...(extra && Object.keys(extra).length > 0 && { extra }) };
}

function sourcesOf({ headers, remoteAddress }: ApiRequest): string[] {
  const forwarded = headers['x-forwarded-for'];
  const before = typeof forwarded === 'string' ? forwarded.split(',').map(address => address.trim()) : [];
  return [...before, ...(remoteAddress ? [remoteAddress] : [])].slice(0, 16);
}
