import { UmiakError } from '#base/errors.ts';
import { parseFieldSelector } from '#base/field-selector.ts';
import type { Attributes, Authenticator, Authorizer, Identity } from './identity.ts';
import { negotiate, offerOf } from './media.ts';
import type { ApiRequest, Context, Outcome, Route } from './request.ts';
import type { Resources } from './resources.ts';
import { routeOf, unservedOf } from './routes.ts';

/** One step of a request's way: it may answer itself, change the context, look at the answer, or hand on to what follows. */
export type Step = (context: Context, next: () => Promise<Outcome>) => Promise<Outcome>;

export interface PipelineOptions {
  resources: Resources;
  authenticate: Authenticator;
  authorize: Authorizer;
  /** Written down before and after: who did what. */
  audit?: Step;
  /** Who may be served now, and who has to wait. */
  fairness?: Step;
  /** The work itself. */
  answer: (context: Context) => Promise<Outcome>;
}

/** The way of every request, one line a step. In-process callers take the same way without credentials. */
export function createPipeline(options: PipelineOptions): (request: ApiRequest) => Promise<{ outcome: Outcome; context: Context }> {
  const way: Step[] = [
    authentication(options.authenticate, options.audit), // who asks
    options.audit ?? passing, //             what is written down of it
    impersonation(options.authorize), //     as whom they want to be taken
    options.fairness ?? passing, //          whether it is their turn
    authorization(options.authorize), //     whether they may
  ];
  return async request => {
    const { context, misrouted } = route(request, options.resources);
    const answer = () => {
      checkTimeout(context);
      if (misrouted) throw misrouted; // said only to those who might have gone there
      return options.answer(context);
    };
    const from = (at: number): Promise<Outcome> => {
      const step = way[at];
      return step === undefined ? Promise.resolve().then(answer) : step === passing ? from(at + 1) : step(context, () => from(at + 1));
    };
    return { outcome: await from(0), context };
  };
}

/** A number with a unit, or several: Go's durations. */
const DURATION = /^[-+]?(0|((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)$/;

/** How long the client waits: nothing here takes as long as upstream lets it, but what is no time is refused. @throws `BadRequest` */
function checkTimeout({ query, route }: Context): void {
  if (query.size === 0) return;
  const timeout = query.get('timeout');
  if (!timeout || DURATION.test(timeout) || (route.type === 'resource' && route.verb === 'watch')) return;
  const shown = JSON.stringify(timeout.slice(0, 40));
  throw new UmiakError('BadRequest', `invalid timeout specified in the request URL - time: invalid duration ${shown}`);
}

const passing: Step = (_context, next) => next();

function route(request: ApiRequest, resources: Resources): { context: Context; misrouted?: unknown } {
  const base = { request, identity: NOBODY, warnings: [] };
  const { accept } = request.headers;
  let routed: ReturnType<typeof routeOf>;
  try {
    routed = routeOf(request.method, request.url, resources);
  } catch (misrouted) {
    const path = request.url.split('?', 1)[0]!;
    const unserved = unservedOf(request.method, path);
    const nowhere: Route = { type: 'path', path, verb: request.method.toLowerCase(), ...(unserved && { unserved }) };
    return { context: { ...base, media: negotiate(accept, { isFixed: true }), route: nowhere, query: new URLSearchParams() }, misrouted };
  }
  return { context: { ...base, media: negotiate(accept, offerOf(routed.route)), ...routed } };
}

/** Stands there until the first step has found out who asks. */
const NOBODY: Identity = { name: '', groups: [] };

function authentication(authenticate: Authenticator, audit: Step | undefined): Step {
  return async (context, next) => {
    const { request } = context;
    try {
      context.identity = request.identity ?? (await authenticate({ headers: request.headers, socket: request.socket }));
    } catch (error) {
      if (audit) return await audit(context, () => Promise.reject(error)); // that nobody was let in is worth a record, too
      throw error;
    }
    return next();
  };
}

/** `Impersonate-User`, `-Uid`, `-Group` and `-Extra-…`: each must be allowed for itself. */
function impersonation(authorize: Authorizer): Step {
  return async (context, next) => {
    const { headers } = context.request;
    const name = single(headers['impersonate-user']);
    if (name === undefined) {
      if (Object.keys(headers).some(header => header.startsWith('impersonate-'))) {
        throw new UmiakError('BadRequest', 'requested extra, group or uid to be impersonated without impersonating a user');
      }
      return next();
    }
    const groups = many(headers['impersonate-group']);
    const uid = single(headers['impersonate-uid']);
    const extra: Record<string, string[]> = {};
    for (const [header, value] of Object.entries(headers)) {
      if (header.startsWith('impersonate-extra-')) extra[unescaped(header.slice('impersonate-extra-'.length))] = many(value);
    }
    const asked: [resource: string, name: string, subresource?: string, group?: string][] = groups.map(group => ['groups', group]);
    if (uid !== undefined) asked.push(['uids', uid, '', 'authentication.k8s.io']);
    for (const [key, values] of Object.entries(extra))
      for (const value of values) asked.push(['userextras', value, key, 'authentication.k8s.io']);
    const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(name);
    await allow({
      ...blank(context.identity),
      verb: 'impersonate',
      resource: account ? 'serviceaccounts' : 'users',
      namespace: account?.[1] ?? '',
      name: account?.[2] ?? name,
    });
    for (const [resource, each, subresource = '', group = ''] of asked) {
      await allow({ ...blank(context.identity), verb: 'impersonate', group, version: 'v1', resource, subresource, name: each });
    }
    const implied = account ? ['system:serviceaccounts', `system:serviceaccounts:${account[1]}`] : [];
    const all = groups.length > 0 ? [...groups] : implied;
    const known = name === 'system:anonymous' ? 'system:unauthenticated' : 'system:authenticated';
    if (!all.includes('system:authenticated') && !all.includes('system:unauthenticated')) all.push(known);
    context.impersonator = context.identity;
    context.identity = { name, groups: all, extra, ...(uid !== undefined && { uid }) };
    return next();
  };

  async function allow(attributes: Attributes): Promise<void> {
    const { allowed, reason } = await authorize(attributes);
    if (!allowed) throw refusal(attributes, reason);
  }
}

function authorization(authorize: Authorizer): Step {
  return async (context, next) => {
    const attributes = attributesOf(context);
    const decision = authorize(attributes);
    const { allowed, reason } = decision instanceof Promise ? await decision : decision;
    if (context.annotations) {
      context.annotations['authorization.k8s.io/decision'] = allowed ? 'allow' : 'forbid';
      context.annotations['authorization.k8s.io/reason'] = reason;
    }
    if (!allowed) throw refusal(attributes, reason);
    return next();
  };
}

/** What the request asks for, in the authorizer's words. */
export function attributesOf({ identity, route, query }: Context): Attributes {
  if (route.type === 'path') {
    return route.unserved ? { identity, ...route.unserved } : { ...blank(identity), verb: route.verb, path: route.path };
  }
  const { served, verb, namespace, name, subresource } = route;
  const { group, version, plural } = served.resource;
  // A namespace is looked at as being within itself, so that a Role there can allow it.
  const within = plural === 'namespaces' && group === '' ? name : namespace;
  const selects = verb === 'list' || verb === 'watch' || verb === 'deletecollection';
  const [fieldSelector, labelSelector] = selects ? [query.get('fieldSelector'), query.get('labelSelector')] : [];
  const labels = labelSelector ? { labelSelector } : {};
  if (!fieldSelector) return { identity, verb, group, version, resource: plural, subresource, namespace: within, name, ...labels };
  // Who lists or watches just one by its name is judged as asking for that one.
  const one = parseFieldSelector(fieldSelector).find(({ field, operator }) => field === 'metadata.name' && operator === '=')?.value;
  const named = name || (one ?? '');
  return { identity, verb, group, version, resource: plural, subresource, namespace: within, name: named, fieldSelector, ...labels };
}

function blank(identity: Identity): Attributes {
  return { identity, verb: '', group: '', version: '', resource: '', subresource: '', namespace: '', name: '' };
}

/** The sentence that kubectl's users know. */
function refusal({ identity, verb, group, resource, subresource, namespace, name, path }: Attributes, reason: string): UmiakError {
  const why = reason ? `: ${reason}` : '';
  if (path !== undefined)
    return new UmiakError('Forbidden', `forbidden: User "${identity.name}" cannot ${verb} path "${path}"${why}`, { details: {} });
  const what = subresource ? `${resource}/${subresource}` : resource;
  const full = group ? `${resource}.${group}` : resource;
  const scope = namespace ? ` in the namespace "${namespace}"` : ' at the cluster scope';
  return new UmiakError(
    'Forbidden',
    `${full}${name ? ` "${name}"` : ''} is forbidden: User "${identity.name}" cannot ${verb} resource "${what}" in API group "${group}"${scope}${why}`,
    {
      details: { ...(name && { name }), ...(group && { group }), kind: resource },
    },
  );
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

function many(value: string | string[] | undefined): string[] {
  return value === undefined ? [] : Array.isArray(value) ? value : value.split(',').map(part => part.trim());
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new UmiakError('BadRequest', 'the name of an Impersonate-Extra header is not properly escaped');
  }
}
