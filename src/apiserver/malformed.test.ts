import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { seededRandom } from '#base/ids.ts';
import type { Kind } from '#kinds/kind.ts';
import { builtinKinds } from '#kinds/registry.ts';
import { type Field, schemaData } from '#kinds/schema-data.ts';
import { type Answer, at, startTestCluster, type TestCluster } from './test-cluster.ts';

const REQUESTS = Number(process.env.UMIAK_FUZZ_REQUESTS ?? 5000);
const seed = Number(process.env.UMIAK_SEED ?? Date.now() % 1e9);

let cluster: TestCluster;
before(async () => {
  cluster = await startTestCluster();
  for (const [path, body] of [
    ['/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } }],
    ['/api/v1/namespaces/default/configmaps', { metadata: { name: 'x' }, data: { a: 'b' } }],
    ['/api/v1/namespaces/default/pods', { metadata: { name: 'x' }, spec: { containers: [{ name: 'c', image: 'i' }] } }],
    ['/api/v1/namespaces/default/services', { metadata: { name: 'x' }, spec: { ports: [{ port: 80 }] } }],
    [
      '/apis/apps/v1/namespaces/default/deployments',
      {
        metadata: { name: 'x' },
        spec: {
          selector: { matchLabels: { a: 'b' } },
          template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } },
        },
      },
    ],
  ] as const)
    assert.equal((await cluster.call('POST', path, body)).status, 201);
});
after(() => cluster?.[Symbol.asyncDispose]());

const FAMOUS = builtinKinds.filter(({ resource }) =>
  [
    'Pod',
    'Deployment',
    'Service',
    'ConfigMap',
    'Secret',
    'Node',
    'ReplicaSet',
    'Event',
    'EndpointSlice',
    'HorizontalPodAutoscaler',
    'Lease',
    'Namespace',
  ].includes(resource.kind),
);

/** Makes requests that no sane client sends: every part of one may be wrong. */
class Nonsense {
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  request(): { method: string; path: string; body?: string | Buffer; headers: Record<string, string> } {
    const method = this.pick(['POST', 'POST', 'PUT', 'PATCH', 'PATCH', 'DELETE', 'GET']);
    const kind = this.pick(this.chance(0.5) ? FAMOUS : builtinKinds);
    const path = this.path(method, kind);
    const headers: Record<string, string> = {};
    if (method === 'GET') return { method, path, headers };
    headers['content-type'] =
      method === 'PATCH'
        ? this.pick([
            'application/json-patch+json',
            'application/merge-patch+json',
            'application/strategic-merge-patch+json',
            'application/apply-patch+yaml',
            'application/apply-patch+yaml',
            'text/x',
          ])
        : this.pick([
            'application/json',
            'application/json',
            'application/json',
            'application/yaml',
            'application/vnd.kubernetes.protobuf',
            'image/png',
            'application/json; charset=utf-8',
          ]);
    const isApply = headers['content-type'].includes('apply');
    const owner = isApply
      ? `${path.includes('?') ? '&' : '?'}${this.pick(['fieldManager=f', 'fieldManager=g&force=true', 'fieldManager=%00', 'force=x'])}`
      : '';
    return { method, path: path + owner, headers, body: this.body(headers['content-type'], kind) };
  }

  path(method: string, { resource }: Kind): string {
    const root = resource.group ? `/apis/${resource.group}/${resource.version}` : `/api/${resource.version}`;
    const scope = resource.namespaced ? `/namespaces/${this.pick(['default', 'default', 'missing', '%zz', '..'])}` : '';
    const plural = this.chance(0.03) ? this.pick(['nothings', '%00', 'pods%2fx']) : resource.plural;
    const name = method === 'POST' || this.chance(0.1) ? '' : `/${this.pick(['x', 'x', 'x', 'missing', '%', '_', 'A'.repeat(300)])}`;
    const sub =
      name && this.chance(0.3)
        ? `/${this.pick(['status', 'scale', 'binding', 'token', 'eviction', 'finalize', 'exec', 'x', 'resize', 'ephemeralcontainers', 'approval'])}`
        : '';
    const queries = [
      '',
      '',
      '',
      '?dryRun=All',
      '?dryRun=x',
      '?fieldValidation=Strict',
      '?fieldValidation=x',
      '?limit=x',
      '?limit=-1',
      '?continue=xyz',
      '?resourceVersion=x',
      '?resourceVersionMatch=Exact',
      '?labelSelector=%28',
      '?fieldSelector=a',
      '?gracePeriodSeconds=x',
      '?propagationPolicy=x',
      '?sendInitialEvents=true',
    ];
    return `${root}${scope}/${plural}${name}${sub}${this.pick(queries)}`;
  }

  body(type: string, kind: Kind): string | Buffer {
    if (this.chance(0.1))
      return this.pick([
        '',
        '{',
        'null',
        '[]',
        '"x"',
        '0',
        '{"a":}',
        'a: b: c',
        '\u0000',
        '{"kind":"Status"}',
        '- - -',
        '&a [*a]',
        '{"metadata":null}',
      ]);
    if (this.chance(0.02)) return '['.repeat(20_000);
    if (this.chance(0.02)) return `${'{"spec":'.repeat(3000)}1${'}'.repeat(3000)}`;
    if (this.chance(0.02)) return '- '.repeat(5000);
    if (this.chance(0.01))
      return `a: &a [x,x,x,x]\n${Array.from({ length: 30 }, (_, i) => `b${i}: &b${i} [${'*a,'.repeat(9)}*a]`).join('\n')}`;
    if (this.chance(0.05)) return Buffer.from(Array.from({ length: 200 }, () => Math.floor(this.#random() * 256)));
    if (type.includes('protobuf'))
      return Buffer.concat([Buffer.from('k8s\0'), Buffer.from(Array.from({ length: 60 }, () => Math.floor(this.#random() * 40)))]);
    if (type.includes('json-patch')) return JSON.stringify(this.patchOperations());
    const object = this.chance(0.7) ? this.typedObject(kind, type.includes('patch')) : this.object();
    if (type.includes('patch') && this.chance(0.5)) this.addDirectives(object);
    return JSON.stringify(object);
  }

  patchOperations(): unknown {
    const paths = [
      '/metadata/name',
      '/metadata',
      '/spec',
      '/spec/containers/0',
      '/spec/containers/-',
      '',
      '/',
      '/a~2',
      'x',
      '/kind',
      '/__proto__/x',
      '/metadata/resourceVersion',
      '/metadata/managedFields',
      '/metadata/managedFields/0/fieldsV1',
      '/data/a',
      '/spec/replicas',
    ];
    return Array.from({ length: 1 + Math.floor(this.#random() * 4) }, () => ({
      op: this.pick(['add', 'remove', 'replace', 'move', 'copy', 'test', 'x', null]),
      path: this.pick([...paths, 5, null]),
      ...(this.chance(0.5) && { from: this.pick(paths) }),
      ...(this.chance(0.8) && { value: this.value(2) }),
    }));
  }

  /** Nearly right by the schema, so that what comes after the first check is reached too. */
  typedObject({ type, resource }: Kind, isPatch: boolean): Record<string, unknown> {
    const object = this.typed(type, 0, isPatch ? 0.1 : 0.35) as Record<string, unknown>;
    const name = this.pick(['x', 'x', 'x', `n${Math.floor(this.#random() * 1e6)}`, `n${Math.floor(this.#random() * 1e6)}`]);
    return {
      ...object,
      apiVersion: resource.group ? `${resource.group}/${resource.version}` : resource.version,
      kind: resource.kind,
      metadata: { name, ...(this.chance(0.2) && { labels: { a: 'b' } }) },
    };
  }

  typed(type: string, depth: number, share: number): unknown {
    const { fields, required = [], ...scalar } = schemaData().types[type] ?? {};
    if (!fields) return this.typedField(scalar as Field, depth, share);
    const chosen = Object.entries(fields).filter(([name]) =>
      required.includes(name) ? this.chance(0.97) : depth < 7 && this.chance(share),
    );
    return Object.fromEntries(
      chosen.map(([name, field]) => [name, this.chance(0.01) ? this.value(2) : this.typedField(field, depth + 1, share)]),
    );
  }

  typedField({ type, format, ref, items, values }: Field, depth: number, share: number): unknown {
    if (ref) return this.typed(ref, depth, share);
    if (items) return Array.from({ length: Math.floor(this.#random() * 3) }, () => this.typedField(items, depth, share));
    if (values)
      return Object.fromEntries(
        Array.from({ length: Math.floor(this.#random() * 3) }, () => [
          this.pick(['a', 'b', 'cpu', 'memory']),
          this.typedField(values, depth, share),
        ]),
      );
    if (format === 'date-time') return '2026-01-01T00:00:00Z';
    if (type === 'boolean') return this.chance(0.5);
    if (type === 'integer' || type === 'number') return this.pick([0, 1, 2, 80, 8080, -1, 70_000]);
    if (type === 'int-or-string') return this.pick<unknown>([1, 80, '25%', 'http', '100m', '1Gi', '', 'x y']);
    if (type === 'object') return {};
    return this.pick(['a', 'b', 'name', '', 'x/y', 'Always', 'In', 'Exists', 'TCP', '10.0.0.1', 'Pod', 'v1', 'UPPER', '/path', 'aGk=']);
  }

  object(): Record<string, unknown> {
    const { resource } = this.pick(builtinKinds);
    const metadata: unknown = this.chance(0.1)
      ? this.value(1)
      : {
          name: this.pick(['x', 'x', 'y', '', 'UPPER', 'a'.repeat(300), 5, null]),
          ...(this.chance(0.3) && { namespace: this.pick(['default', 'other', 5]) }),
          ...(this.chance(0.3) && { labels: this.value(2) }),
          ...(this.chance(0.2) && { annotations: this.value(2) }),
          ...(this.chance(0.2) && { ownerReferences: this.value(2) }),
          ...(this.chance(0.2) && { finalizers: this.value(2) }),
          ...(this.chance(0.2) && { resourceVersion: this.pick(['1', 'x', 5]) }),
          ...(this.chance(0.1) && { generateName: this.pick(['g-', 'G_', 'g'.repeat(400)]) }),
        };
    return {
      ...(this.chance(0.7) && {
        apiVersion: resource.group ? `${resource.group}/${resource.version}` : resource.version,
        kind: resource.kind,
      }),
      ...(this.chance(0.1) && { kind: this.value(1), apiVersion: this.value(1) }),
      metadata,
      ...(this.chance(0.7) && { spec: this.spec() }),
      ...(this.chance(0.3) && { status: this.value(3) }),
      ...(this.chance(0.2) && { data: this.value(2) }),
      ...(this.chance(0.2) && {
        target: this.value(2),
        rules: this.value(2),
        roleRef: this.value(2),
        subjects: this.value(2),
        deleteOptions: this.value(2),
      }),
    };
  }

  /** Now and then nearly right, so that more than the first check is reached. */
  spec(): unknown {
    if (this.chance(0.5)) return this.value(4);
    const container = {
      name: this.pick(['c', '', 5]),
      image: this.pick(['i', '', null]),
      ports: this.value(3),
      env: this.value(3),
      resources: this.value(3),
      livenessProbe: this.value(3),
      volumeMounts: this.value(2),
    };
    const pod = {
      containers: this.pick([[container], [container, container], [], null]),
      volumes: this.value(3),
      tolerations: this.value(2),
      affinity: this.value(4),
      ...(this.chance(0.3) && { [this.word()]: this.value(2) }),
    };
    return this.pick<unknown>([
      pod,
      {
        replicas: this.value(0),
        selector: this.pick([{ matchLabels: { a: 'b' } }, this.value(2)]),
        template: { metadata: this.value(2), spec: pod },
      },
      {
        type: this.pick(['NodePort', 'ClusterIP', 'x', 5]),
        ports: this.pick<unknown>([[{ port: this.value(0), nodePort: this.value(0) }], this.value(2)]),
        clusterIP: this.pick(['None', '1.2.3.4', 'x', '10.43.0.9']),
      },
    ]);
  }

  addDirectives(object: Record<string, unknown>): void {
    const directives = {
      $patch: this.pick(['replace', 'delete', 'merge', 'x', 5]),
      $retainKeys: this.value(1),
      '$setElementOrder/containers': this.value(2),
      '$deleteFromPrimitiveList/finalizers': this.value(1),
    };
    const places = [object, object.spec, object.metadata].filter(
      place => typeof place === 'object' && place !== null && !Array.isArray(place),
    ) as Record<string, unknown>[];
    const [name, value] = this.pick(Object.entries(directives));
    this.pick(places)[name] = value;
  }

  value(depth: number): unknown {
    const scalars: unknown[] = [
      0,
      -1,
      1,
      80,
      1.5,
      1e300,
      2 ** 40,
      true,
      false,
      null,
      '',
      'x',
      'a'.repeat(5000),
      '\u0000',
      'é\ud800',
      '100m',
      '1Gi',
      '2020-01-01T00:00:00Z',
      {},
      [],
    ];
    if (depth <= 0 || this.chance(0.4)) return this.pick(scalars);
    if (this.chance(0.4)) return Array.from({ length: Math.floor(this.#random() * 4) }, () => this.value(depth - 1));
    return Object.fromEntries(Array.from({ length: Math.floor(this.#random() * 5) }, () => [this.word(), this.value(depth - 1)]));
  }

  word(): string {
    return this.pick([
      'name',
      'key',
      'value',
      'labels',
      'matchLabels',
      'matchExpressions',
      'operator',
      'values',
      'kind',
      'uid',
      'port',
      'nodePort',
      'httpGet',
      'exec',
      'command',
      'limits',
      'requests',
      'cpu',
      'secret',
      'configMap',
      'emptyDir',
      'items',
      'nodeAffinity',
      'containers',
      'a/b',
      '__proto__',
      'constructor',
      'toString',
      'hasOwnProperty',
      '',
    ]);
  }

  chance(share: number): boolean {
    return this.#random() < share;
  }

  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.#random() * list.length)]!;
  }
}

test(`${REQUESTS} malformed requests (seed ${seed}) each get a Status with a code below 500, and the server lives on`, {
  timeout: 180_000,
}, async () => {
  const nonsense = new Nonsense(seededRandom(seed));
  const codes = new Map<number, number>();
  for (let sent = 0; sent < REQUESTS; sent += 50) {
    const batch = Array.from({ length: Math.min(50, REQUESTS - sent) }, () => nonsense.request());
    await Promise.all(
      batch.map(async request => {
        const { method, path, body, headers } = request;
        const answer = await cluster.call(method, path, body, headers);
        codes.set(answer.status, (codes.get(answer.status) ?? 0) + 1);
        checkAnswer(
          answer,
          `seed ${seed}: ${method} ${path} ${headers['content-type'] ?? ''}\n${String(body).slice(0, 2000)}\n→ ${answer.status} ${answer.text.slice(0, 500)}`,
        );
      }),
    );
  }
  console.log('codes', Object.fromEntries([...codes].sort()));
  assert.equal((await cluster.call('GET', '/readyz')).text, 'ok');
  assert.equal((await cluster.call('GET', '/api/v1/namespaces/default/configmaps?limit=1')).status, 200);
});

function checkAnswer({ status, body }: Answer, what: string): void {
  assert.ok(status < 500 || status === 501 || status === 504, what);
  assert.equal(typeof body, 'object', what);
  if (status < 400) return;
  assert.equal(at(body, 'kind'), 'Status', what);
  assert.equal(at(body, 'code'), status, what);
  assert.ok(at(body, 'reason') && at(body, 'message'), what);
  if (status === 422 && at(body, 'details.causes'))
    for (const cause of at(body, 'details.causes') as unknown[]) assert.ok(at(cause, 'field') !== undefined && at(cause, 'reason'), what);
}

const oversized: [name: string, body: string, headers: Record<string, string>][] = [
  ['declared', 'x'.repeat((3 << 20) + 1), {}],
  ['of a YAML', `a: ${'x'.repeat(4 << 20)}`, { 'content-type': 'application/yaml' }],
];
for (const [name, body, headers] of oversized)
  test(`a body that is too large (${name}) is refused with 413`, async () => {
    const answer = await cluster.call('POST', '/api/v1/namespaces/default/configmaps', body, headers);
    assert.equal(answer.status, 413);
    assert.equal(at(answer.body, 'reason'), 'RequestEntityTooLarge');
  });
