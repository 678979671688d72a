import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ConfigMap } from '#kinds/config-map.ts';
import { Pod } from '#kinds/pod.ts';
import { Secret } from '#kinds/secret.ts';
import { Service } from '#kinds/service.ts';
import { made } from '#kinds/testing.ts';
import { environmentReferences, expand, resolveEnvironment } from './environment.ts';

const base64 = (text: string) => Buffer.from(text).toString('base64');
const configMap = made(ConfigMap, { metadata: { name: 'settings' }, data: { color: 'blue', 'log.level': 'info' } });
const secret = made(Secret, { metadata: { name: 'keys' }, data: { token: base64('t0p') } });
const sources = {
  configMaps: new Map<string, ConfigMap | undefined>([['settings', configMap]]),
  secrets: new Map<string, Secret | undefined>([['keys', secret]]),
};
const facts = { nodeName: 'n1', hostAddress: '192.0.2.1', podAddress: '10.42.0.7', allocatable: { cpu: '4', memory: '8Gi' } };
const service = (name: string, clusterIP: string, ports: object[], namespace = 'default') =>
  ({
    ...made(Service, { metadata: { name, namespace }, spec: { ports } }),
    metadata: { name, namespace, uid: name, resourceVersion: '1', creationTimestamp: '' },
    spec: { clusterIP, ports },
  }) as unknown as Service;

function resolve(container: object, { spec = {}, services = [] as Service[] } = {}): Record<string, string> {
  const pod = made(Pod, {
    metadata: { name: 'p', namespace: 'default', uid: 'u-1', labels: { app: 'shop' } },
    spec: { containers: [{ name: 'c', image: 'i', ...container }], ...spec },
  });
  const [main] = pod.spec.containers;
  assert.ok(main);
  return Object.fromEntries(resolveEnvironment(pod, main, { sources, services, facts }));
}

describe('expand', () => {
  const values = new Map([
    ['A', '1'],
    ['a.b', '2'],
    ['EMPTY', ''],
  ]);
  const cases = [
    ['$(A)', '1'],
    ['x$(A)y$(A)', 'x1y1'],
    ['$$(A)', '$(A)'],
    ['$$$(A)', '$1'],
    ['$$$$', '$$'],
    ['$(B)', '$(B)'],
    ['$()', '$()'],
    ['$A $', '$A $'],
    ['$(A', '$(A'],
    ['$(a.b)$(EMPTY)', '2'],
  ] as const;
  for (const [text, expected] of cases)
    test(`${text} → ${expected}`, () =>
      assert.equal(
        expand(text, name => values.get(name)),
        expected,
      ));
});

describe('resolveEnvironment', () => {
  test('what comes later wins and may use what came before', () => {
    const env = [
      { name: 'A', value: '1' },
      { name: 'B', value: '$(A)2' },
      { name: 'A', value: '$(A)3' },
      { name: 'C', value: '$(A) $(color) $(LATER) $$(A)' },
      { name: 'LATER', value: 'x' },
    ];
    const { A, B, C } = resolve({ env, envFrom: [{ configMapRef: { name: 'settings' } }] });
    assert.deepEqual({ A, B, C }, { A: '13', B: '12', C: '13 blue $(LATER) $(A)' });
  });

  test('envFrom with prefixes, later sources over earlier ones, env over all', () => {
    const envFrom = [{ prefix: 'X_', configMapRef: { name: 'settings' } }, { secretRef: { name: 'keys' } }];
    const got = resolve({ envFrom, env: [{ name: 'token', value: 'mine' }] });
    assert.deepEqual(got, { X_color: 'blue', 'X_log.level': 'info', token: 'mine' });
  });

  test('references', () => {
    const env = [
      { name: 'NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
      { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
      { name: 'APP', valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
      { name: 'CPU', valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } } },
      { name: 'MEMORY', valueFrom: { resourceFieldRef: { resource: 'limits.memory', divisor: '1Mi' } } },
      { name: 'COLOR', valueFrom: { configMapKeyRef: { name: 'settings', key: 'color' } } },
      { name: 'TOKEN', valueFrom: { secretKeyRef: { name: 'keys', key: 'token' } } },
      { name: 'NOT_THERE', valueFrom: { secretKeyRef: { name: 'keys', key: 'other', optional: true } } },
      { name: 'NOT_THERE_EITHER', valueFrom: { configMapKeyRef: { name: 'none', key: 'k', optional: true } } },
    ];
    const resources = { limits: { memory: '64Mi' } };
    const expected = { NAME: 'p', IP: '10.42.0.7', APP: 'shop', CPU: '4', MEMORY: '64', COLOR: 'blue', TOKEN: 't0p' };
    assert.deepEqual(resolve({ env, resources }), expected);
  });

  const missing: [string, object, RegExp][] = [
    ['a ConfigMap', { envFrom: [{ configMapRef: { name: 'none' } }] }, /^configmap "none" not found$/],
    ['a Secret', { envFrom: [{ secretRef: { name: 'none' } }] }, /^secret "none" not found$/],
    [
      'a key of a Secret',
      { env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 'keys', key: 'k' } } }] },
      /^couldn't find key k in Secret default\/keys$/,
    ],
    [
      'a key of a ConfigMap',
      { env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'settings', key: 'k' } } }] },
      /^couldn't find key k in ConfigMap default\/settings$/,
    ],
  ];
  for (const [what, container, message] of missing)
    test(`${what} that is missing is named`, () => assert.throws(() => resolve(container), { reason: 'NotFound', message }));

  test('an optional source that is missing gives nothing', () =>
    assert.deepEqual(
      resolve({ envFrom: [{ configMapRef: { name: 'none', optional: true } }, { secretRef: { name: 'none', optional: true } }] }),
      {},
    ));
});

describe('Services', () => {
  const services = [
    service('kubernetes', '10.43.0.1', [{ name: 'https', port: 443, protocol: 'TCP' }]),
    service('my-db', '10.43.0.9', [
      { name: 'sql', port: 5432, protocol: 'TCP' },
      { port: 9000, protocol: 'UDP' },
    ]),
    service('headless', 'None', [{ port: 80 }]),
    service('far', '10.43.0.10', [{ port: 80 }], 'elsewhere'),
  ];

  test('of the namespace that have an address, and kubernetes', () => {
    const got = resolve({}, { services });
    assert.equal(got.KUBERNETES_SERVICE_HOST, '10.43.0.1');
    assert.equal(got.KUBERNETES_SERVICE_PORT_HTTPS, '443');
    assert.equal(got.MY_DB_SERVICE_PORT, '5432');
    assert.equal(got.MY_DB_SERVICE_PORT_SQL, '5432');
    assert.equal(got.MY_DB_PORT, 'tcp://10.43.0.9:5432');
    assert.equal(got.MY_DB_PORT_9000_UDP, 'udp://10.43.0.9:9000');
    assert.equal(got.MY_DB_PORT_9000_UDP_ADDR, '10.43.0.9');
    assert.equal(
      Object.keys(got).some(name => /HEADLESS|FAR/.test(name)),
      false,
    );
  });

  test('without service links only kubernetes; the container’s own always win and can use them', () => {
    const env = [
      { name: 'API', value: '$(KUBERNETES_SERVICE_HOST)' },
      { name: 'KUBERNETES_SERVICE_PORT', value: '1' },
    ];
    const got = resolve({ env }, { services, spec: { enableServiceLinks: false } });
    assert.equal(got.API, '10.43.0.1');
    assert.equal(got.KUBERNETES_SERVICE_PORT, '1');
    assert.equal(got.MY_DB_SERVICE_HOST, undefined);
  });
});

test('environmentReferences: each name once', () => {
  const references = environmentReferences({
    name: 'c',
    env: [
      { name: 'A', valueFrom: { configMapKeyRef: { name: 'settings', key: 'a' } } },
      { name: 'B', valueFrom: { secretKeyRef: { name: 'keys', key: 'b' } } },
    ],
    envFrom: [{ configMapRef: { name: 'settings' } }],
  });
  assert.deepEqual(references, { configMaps: ['settings'], secrets: ['keys'] });
});
