import { builtinKinds } from '#kinds/registry.ts';
import { bodyOf } from './bodies.ts';
import { INHABITANTS } from './inhabitants.ts';
import type { Goal } from './objects.ts';
import type { Random } from './random.ts';
import { hostileText } from './values.ts';

export interface MalformedRequest {
  method: string;
  path: string;
  headers: Record<string, string>;
  body?: string | Buffer;
}

/** What acts on all other requests is only tried: nothing further would be reached once it says no. */
const ACTS_ON_OTHERS = /Webhook|AdmissionPolicyBinding|FlowSchema|PriorityLevel|ResourceQuota|LimitRange|APIService/;
const METHODS: Record<string, string> = {
  create: 'POST',
  update: 'PUT',
  patch: 'PATCH',
  delete: 'DELETE',
  deletecollection: 'DELETE',
  get: 'GET',
  list: 'GET',
};
const WRITES = ['create', 'update', 'patch'];
const BROAD = [
  'Pod',
  'Deployment',
  'Service',
  'HorizontalPodAutoscaler',
  'CustomResourceDefinition',
  'ValidatingAdmissionPolicy',
  'Job',
  'CronTab',
];

/** One way in: a verb of a kind or of its subresource. */
interface Endpoint {
  goal: Goal;
  verb: string;
  subresource: string;
}

/** Makes requests that no sane client sends, to each endpoint in turn and most to those that do most. */
export class MalformedRequests {
  readonly #random: Random;
  readonly #endpoints: Endpoint[];
  readonly #broad: Endpoint[];
  #sent = 0;

  constructor(random: Random, custom: readonly Goal[] = []) {
    this.#random = random;
    this.#endpoints = [...builtinKinds.map(toGoal), ...custom].flatMap(endpointsOf);
    this.#broad = this.#endpoints.filter(
      ({ goal, verb, subresource }) => BROAD.includes(goal.kind) && WRITES.includes(verb) && subresource !== 'proxy',
    );
  }

  next(): MalformedRequest {
    const random = this.#random;
    if (random.chance(0.02)) return this.#elsewhere();
    if (random.chance(0.02)) return inhabit(random); // what was deleted meanwhile comes back
    const endpoint = random.chance(0.6) ? random.pick(this.#broad) : this.#endpoints[this.#sent++ % this.#endpoints.length]!;
    const { goal, verb, subresource } = endpoint;
    const method = random.chance(0.01) ? random.pick(Object.values(METHODS)) : METHODS[verb]!;
    const headers: Record<string, string> = {};
    if (random.chance(0.07)) headers.accept = random.pick(ACCEPTED);
    if (random.chance(0.01))
      headers['impersonate-user'] = random.pick(['u', 'system:serviceaccount:default:x', 'system:serviceaccount:', '%']);
    const name = goal.kind === 'CustomResourceDefinition' ? `t${random.below(4)}s.example.com` : 'x';
    const usual = method === 'PATCH' ? PATCHES : method === 'DELETE' ? BODIES.slice(0, 1) : BODIES;
    const type = random.pick(random.chance(0.02) ? NONE_OF_OURS : usual);
    const path = this.#path(endpoint, name) + this.#query(endpoint, method, type);
    if (method === 'GET') return { method, path, headers };
    headers['content-type'] = type;
    const about = subresource && random.chance(0.6) ? partOf(goal, subresource) : goal;
    const options = {
      ...goal,
      group: '',
      version: 'v1',
      kind: 'DeleteOptions',
      type: 'io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions',
    };
    return {
      method,
      path,
      headers,
      body: bodyOf(
        random,
        type,
        method === 'DELETE' ? options : about,
        method === 'POST' && random.chance(0.5) ? `n${random.below(1e6)}` : name,
      ),
    };
  }

  #path({ goal, verb, subresource }: Endpoint, usual: string): string {
    const random = this.#random;
    const { group, version, plural, namespaced } = goal;
    const root = group ? `/apis/${group}/${version}` : `/api/${version}`;
    const namespace = random.pick([
      'default',
      'default',
      'default',
      'default',
      'missing',
      '%zz',
      '..',
      '__proto__',
      encoded(hostileText(random)),
    ]);
    const scope = !namespaced
      ? ''
      : verb === 'list' && random.chance(0.3)
        ? ''
        : `/namespaces/${random.chance(0.92) ? 'default' : namespace}`;
    const isNamed = subresource !== '' || !['create', 'list', 'deletecollection'].includes(verb);
    const odd = random.pick(['missing', '%', '_', 'A'.repeat(300), '__proto__', '%2f', '%00', '..%2f..', encoded(hostileText(random))]);
    const name = random.chance(0.98) === isNamed ? `/${random.chance(0.93) && subresource !== 'proxy' ? usual : odd}` : '';
    // What is there may have an address by now, and tests connect to nobody.
    const deeper = subresource === 'proxy' && random.chance(0.5) ? `/${encoded(hostileText(random))}` : '';
    return `${root}${scope}/${random.chance(0.01) ? odd : plural}${name}${subresource && name ? `/${subresource}` : ''}${deeper}`;
  }

  #query({ goal, verb, subresource }: Endpoint, method: string, type: string): string {
    const random = this.#random;
    const query: [string, string][] = [];
    if (
      ACTS_ON_OTHERS.test(goal.kind) ||
      verb === 'deletecollection' ||
      random.chance(verb === 'delete' || subresource === 'eviction' ? 0.95 : 0.1)
    )
      query.push(['dryRun', 'All']);
    if (method === 'PATCH' && random.chance(type.includes('apply') ? 0.97 : 0.3))
      query.push(['fieldManager', random.pick(['f', 'g', 'h'])]);
    if (type.includes('apply') && random.chance(0.4)) query.push(['force', 'true']);
    if (method === 'GET' && !subresource && random.chance(0.01)) query.push(['watch', '1'], ['timeoutSeconds', '1']);
    for (let i = random.chance(0.25) ? 1 + random.below(3) : 0; i > 0; i--) {
      const [name, values] = random.pick(Object.entries(this.#parameters(goal)));
      if (!query.some(([known]) => known === name))
        query.push([name, random.chance(0.15) ? hostileText(random).slice(0, 4000) : random.pick(values)]);
    }
    return query.length > 0 ? `?${query.map(([name, value]) => `${name}=${encoded(value)}`).join('&')}` : '';
  }

  #parameters({ fields }: Goal): Record<string, readonly string[]> {
    const random = this.#random;
    const field = random.pick([...fields, 'metadata.name', 'metadata.namespace', '__proto__', 'spec.x']);
    const token = Buffer.from(
      random.pick([
        '{}',
        '{"v":"meta.k8s.io/v1","rv":1,"start":"x\\u0000"}',
        '{"v":"meta.k8s.io/v1","rv":-1,"start":"../"}',
        'x',
        '[]',
        'null',
      ]),
    );
    return {
      dryRun: ['All', 'x', ''],
      fieldValidation: ['Strict', 'Warn', 'Ignore', 'x'],
      fieldManager: ['f', 'a'.repeat(129), '\u0000', ''],
      force: ['x', '0'],
      limit: ['1', '0', '-1', 'x', '99999999999999999999', '1.5'],
      continue: ['xyz', token.toString('base64url'), token.toString('base64'), '%'],
      resourceVersion: ['0', '1', 'x', '-1', '99999999999999999999'],
      resourceVersionMatch: ['Exact', 'NotOlderThan', 'x'],
      labelSelector: ['a=b', '(', 'a in (', 'a in (b,c),!d', '!', 'a==', '__proto__=x', ','.repeat(1000), 'a'.repeat(3000)],
      fieldSelector: [`${field}=x`, `${field}!=`, 'a', '=', '\\', `${field}=a\\`, `${field}==x,${field}!=y`],
      gracePeriodSeconds: ['0', '-1', 'x', '1e9'],
      propagationPolicy: ['Orphan', 'Background', 'Foreground', 'x'],
      sendInitialEvents: ['true', 'x'],
      timeout: ['1s', 'x', '-1s', '1e9h'],
      pretty: ['1', 'x'],
      container: ['c', '', 'x'],
      tailLines: ['1', '-1', 'x'],
      command: ['a', '\u0000'],
      includeObject: ['Object', 'Metadata', 'None', 'x'],
      orphanDependents: ['true', 'x'],
    };
  }

  /** Discovery, health and what is nowhere. */
  #elsewhere(): MalformedRequest {
    const random = this.#random;
    const places = [
      '/',
      '/version',
      '/apis',
      '/api',
      '/api/v1',
      '/apis/apps',
      '/apis/apps/v1',
      '/openapi/v3',
      '/openapi/v3/apis/apps/v1',
      '/healthz',
      '/livez/x',
    ];
    const odd = [
      '/readyz?verbose',
      '/apis/__proto__/v1',
      '/apis/apps/constructor/x',
      '/api/v1/__proto__',
      '//',
      '/apis//v1/x',
      '/.well-known/openid-configuration',
      '/%',
    ];
    const headers: Record<string, string> = random.chance(0.5) ? { accept: random.pick(ACCEPTED) } : {};
    return {
      method: random.pick(['GET', 'GET', 'POST', 'DELETE', 'OPTIONS', 'HEAD', 'PATCH']),
      path: random.pick([...places, ...odd]),
      headers,
    };
  }
}

function inhabit(random: Random): MalformedRequest {
  const [path, body] = random.pick(INHABITANTS);
  return { method: 'POST', path, headers: {}, body: JSON.stringify(body) };
}

const PROTOBUF = 'application/vnd.kubernetes.protobuf';
const ACCEPTED = [
  'application/json;as=Table;v=v1;g=meta.k8s.io',
  'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io',
  'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json',
  'application/json;as=__proto__;v=v1;g=meta.k8s.io',
  'application/json;stream=watch',
  PROTOBUF,
  'application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io',
  'application/yaml',
  'application/cbor',
  'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList',
  '*/*;q=x',
  ',,;;==',
];

const PATCHES = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
  'application/apply-patch+yaml',
];
const BODIES = ['application/json', 'application/json', 'application/json; charset=utf-8', 'application/yaml', PROTOBUF];
const NONE_OF_OURS = ['application/cbor', 'image/png', 'application/apply-patch+cbor', '', ';', 'application/json;;=', '*/*'];

function toGoal({ type, resource, selectableFields = {} }: (typeof builtinKinds)[number]): Goal {
  const { group, version, kind, plural, namespaced, subresources = [], verbs } = resource;
  return { group, version, kind, plural, namespaced, subresources, verbs, type, fields: Object.keys(selectableFields) };
}

function endpointsOf(goal: Goal): Endpoint[] {
  const known = (verb: string) => METHODS[verb] !== undefined;
  return [
    ...goal.verbs.filter(known).map(verb => ({ goal, verb, subresource: '' })),
    ...goal.subresources.flatMap(({ name, verbs }) => verbs.filter(known).map(verb => ({ goal, verb, subresource: name }))),
  ];
}

/** What a subresource is sent: a `Scale`, an `Eviction`, the object itself. */
function partOf(goal: Goal, subresource: string): Goal {
  const part = goal.subresources.find(({ name }) => name === subresource);
  if (!part || part.kind === goal.kind) return goal;
  const gvk = { group: part.group ?? goal.group, version: part.version ?? goal.version, kind: part.kind };
  const type = TYPES[part.kind];
  const { type: _, ...rest } = goal;
  return { ...rest, ...gvk, ...(type && { type }) };
}

const TYPES: Record<string, string> = {
  Scale: 'io.k8s.api.autoscaling.v1.Scale',
  Eviction: 'io.k8s.api.policy.v1.Eviction',
  Binding: 'io.k8s.api.core.v1.Binding',
  TokenRequest: 'io.k8s.api.authentication.v1.TokenRequest',
};

function encoded(text: string): string {
  return encodeURIComponent(text.toWellFormed()) || '%20';
}
