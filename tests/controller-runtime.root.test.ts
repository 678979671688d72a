/**
 * A controller made with controller-runtime, as its users deploy it: two replicas with a service account, roles, a lease, and webhooks
 * behind a Service. Go builds it for minutes, so it is a target of its own: `make controller-runtime`.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { buildImage, buildLayout, buildTar } from '#images/fixtures.ts';
import { CertificateAuthority } from '#pki/ca.ts';
import { TestCluster, until } from './cluster.ts';

/** The controller, built. */
const program = process.env.UMIAK_CONTROLLER_RUNTIME;

const boat = (name: string, spec: string, annotations = '') =>
  `{ apiVersion: harbour.example.com/v1, kind: Boat, metadata: { name: ${name}, annotations: { ${annotations} } }, spec: { ${spec} } }`;

describe('a controller made with controller-runtime', { skip: program ? false : 'an optional target: make controller-runtime' }, () => {
  let cluster: TestCluster;

  before(async () => {
    cluster = await TestCluster.up();
    await loadImage(cluster);
    await deploy(cluster);
    await cluster.kubectl('rollout', 'status', 'deployment/boats', '-n', 'harbour', '--timeout=60s');
  });
  after(() => cluster?.[Symbol.asyncDispose]());

  const lease = (field: string) => cluster.jsonPath('lease/boats.harbour.example.com -n harbour', `{.spec.${field}}`);
  /** The pod that leads, by what client-go calls itself: `hostname_uuid`. */
  const leader = async () => (await lease('holderIdentity')).split('_')[0] ?? '';
  /** Waits until a field of an object is that. */
  const becomes = (what: string, path: string, value: string) =>
    until(`${path} of ${what} to become ${JSON.stringify(value)}`, async () => {
      const { code, stdout } = await cluster.tryKubectl('get', ...what.split(' '), '-o', `jsonpath=${path}`);
      return code === 0 && stdout === value;
    });
  const isGone = (what: string) =>
    until(`${what} to be gone`, async () => (await cluster.kubectl('get', what, '--ignore-not-found')) === '');
  const refused = async (manifest: string, said: RegExp) => {
    const { code, stderr } = await cluster.tryKubectlWith(manifest, 'apply', '-f', '-');
    assert.equal(code, 1);
    assert.match(stderr, said);
  };

  test('one of its pods leads', async () => {
    await until(
      'a leader',
      async () => (await cluster.kubectl('get', 'lease', '-n', 'harbour', '-o', 'name')) !== '' && (await leader()) !== '',
    );
    const pods = await cluster.jsonPath('pods -n harbour -l app=boats', '{.items[*].metadata.name}');
    assert.ok(pods.split(' ').includes(await leader()), `${await leader()} is none of ${pods}`);
    const events = await cluster.jsonPath('events.v1.events.k8s.io -n harbour', '{.items[*].reason}');
    assert.match(events, /LeaderElection/);
  });

  test('its webhooks default, warn and refuse', async () => {
    await cluster.apply(boat('heron', 'flag: blue'));
    assert.equal(
      await cluster.jsonPath('boat heron', '{.spec.oars} {.metadata.annotations.harbour\\.example\\.com/builder}'),
      '2 kubernetes-admin',
    );
    await refused(boat('odd', 'oars: 3'), /The Boat "odd" is invalid: spec\.oars: Invalid value: 3: oars come in pairs/);
    await refused(boat('heron', 'flag: red'), /spec\.flag: Forbidden: a boat keeps its flag/);
    const { stderr } = await cluster.tryKubectlWith(boat('long', 'oars: 10'), 'create', '--dry-run=server', '-f', '-');
    assert.match(stderr, /Warning: spec\.oars: that many need a drummer/);
    await cluster.apply(boat('tied', 'oars: 2', 'harbour.example.com/moored: "true"'));
    const { code, stderr: why } = await cluster.tryKubectl('delete', 'boat', 'tied', '--wait=false');
    assert.equal(code, 1);
    assert.match(why, /admission webhook "validate\.boats\.harbour\.example\.com" denied the request: tied is moored/);
  });

  test('it brings the world in line when a boat is made, changes and goes, and when what it owns is touched', async () => {
    await becomes('configmap heron-cargo', '{.data.oars}', '2');
    const owner = '{.metadata.ownerReferences[0].kind} {.metadata.ownerReferences[0].name} {.metadata.ownerReferences[0].controller}';
    assert.equal(await cluster.jsonPath('configmap heron-cargo', owner), 'Boat heron true');
    await becomes('boat heron', '{.status.cargo} {.status.conditions[?(@.type=="Ready")].status}', 'heron-cargo True');
    await becomes(
      'events.v1.events.k8s.io --field-selector reason=Loaded,regarding.name=heron',
      '{.items[*].note}',
      'heron carries heron-cargo',
    );

    await cluster.apply(boat('heron', 'flag: blue, oars: 4'));
    await becomes('configmap heron-cargo', '{.data.oars}', '4');
    const generation = await cluster.jsonPath('boat heron', '{.metadata.generation}');
    await becomes('boat heron', '{.status.observedGeneration}', generation);
    await cluster.kubectl('patch', 'configmap', 'heron-cargo', '--type=merge', '-p', '{"data":{"oars":"9"}}');
    await becomes('configmap heron-cargo', '{.data.oars}', '4');
    const uid = await cluster.jsonPath('configmap heron-cargo', '{.metadata.uid}');
    await cluster.kubectl('delete', 'configmap', 'heron-cargo');
    await becomes('configmap heron-cargo', '{.data.oars}', '4');
    assert.notEqual(await cluster.jsonPath('configmap heron-cargo', '{.metadata.uid}'), uid);

    const boatUid = await cluster.jsonPath('boat heron', '{.metadata.uid}');
    await cluster.kubectl('delete', 'boat', 'heron', '--timeout=30s');
    assert.equal(await cluster.jsonPath('configmap departures', '{.data.heron}'), boatUid);
    await isGone('configmap/heron-cargo');
  });

  test('the second leads when the first is killed', async () => {
    const first = await leader();
    const pods = (await cluster.jsonPath('pods -n harbour -l app=boats', '{.items[*].metadata.name}')).split(' ');
    const transitions = Number((await lease('leaseTransitions')) || 0);
    const node = await cluster.jsonPath('nodes', '{.items[0].metadata.name}');
    await cluster.kubectl('cordon', node); // so that the one that comes in its place does not take part
    await cluster.kubectl('delete', 'pod', first, '-n', 'harbour', '--force', '--grace-period=0');
    await until('another leader', async () => (await leader()) !== first);
    assert.ok(pods.includes(await leader()), 'the one that waited');
    assert.equal(Number(await lease('leaseTransitions')), transitions + 1);
    await cluster.apply(boat('ibis', 'flag: green'));
    await becomes('configmap ibis-cargo', '{.data.writer}', await leader());
    await cluster.kubectl('uncordon', node);
    await cluster.kubectl('rollout', 'status', 'deployment/boats', '-n', 'harbour', '--timeout=60s');
  });
});

/** An image of the program alone. */
async function loadImage(cluster: TestCluster): Promise<void> {
  const layer = buildTar([{ name: 'boats', content: readFileSync(program ?? ''), mode: 0o755 }]);
  const archive = join(cluster.directory, 'boats.tar');
  writeFileSync(archive, buildLayout(buildImage([layer], { Entrypoint: ['/boats'] }), 'docker.io/library/boats:test'));
  await cluster.must('image', 'load', archive);
}

/** The manifests, with certificates of an authority that nobody else knows. */
async function deploy(cluster: TestCluster): Promise<void> {
  const directory = join(cluster.directory, 'webhooks');
  const authority = await CertificateAuthority.open({ directory, clock: systemClock, commonName: 'webhooks-authority' });
  const request = { commonName: 'webhooks', hosts: ['webhooks.harbour.svc'], usages: ['serverAuth' as const] };
  const { certificate, key } = await authority.issue(request);
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const manifests = readFileSync(resolve(import.meta.dirname, 'controller-runtime/manifests.yaml'), 'utf8');
  await cluster.apply(`${manifests.replaceAll('$AUTHORITY', base64(authority.certificate))}
---
apiVersion: v1
kind: Secret
type: kubernetes.io/tls
metadata: { name: webhook-certificate, namespace: harbour }
data: { tls.crt: ${base64(certificate)}, tls.key: ${base64(key)} }
`);
}
