import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { TestCluster, until } from './cluster.ts';

const CLAIM = `
  accessModes: [ReadWriteOnce]
  resources: { requests: { storage: 10Mi } }`;

interface PodOptions {
  claim: string;
  script?: string;
  spec?: string;
  mount?: string;
}

const pod = (name: string, { claim, script = 'true', spec = '', mount = '' }: PodOptions) => `
apiVersion: v1
kind: Pod
metadata: { name: ${name} }
spec:
  terminationGracePeriodSeconds: 0
${spec}
  containers:
  - name: main
    image: "busybox:test"
    imagePullPolicy: IfNotPresent
    command: [sh, -c, ${JSON.stringify(`${script}; exec sleep 1000`)}]
    volumeMounts: [{ name: data, mountPath: /data${mount} }]
  volumes:
  - { name: data, persistentVolumeClaim: { claimName: ${claim} } }
`;
const claim = (name: string, spec = CLAIM) => `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: ${name} }
spec:${spec}
---`;

describe('storage on a real node', () => {
  let cluster: TestCluster;

  before(async () => {
    cluster = await TestCluster.up();
    await cluster.loadBusybox();
  });
  after(() => cluster[Symbol.asyncDispose]());

  const directories = () => {
    const path = join(cluster.dataDir, 'storage');
    return existsSync(path) ? readdirSync(path) : [];
  };
  const isReady = (name: string) => cluster.kubectl('wait', '--for=condition=Ready', `pod/${name}`, '--timeout=60s');
  const read = async (name: string, file: string) => (await cluster.kubectl('exec', name, '--', 'cat', file)).trim();

  test('a claim of the default class is bound when its pod comes; what one pod writes the next one reads', async () => {
    assert.match(await cluster.kubectl('get', 'sc'), /local-path \(default\) +umiak.io\/local-path +Delete +WaitForFirstConsumer +true/);
    await cluster.apply(claim('data'));
    assert.equal(await cluster.jsonPath('pvc data', '{.status.phase} {.spec.storageClassName}'), 'Pending local-path');
    await cluster.apply(pod('first', { claim: 'data', script: 'echo kept > /data/note' }));
    await isReady('first');
    assert.equal(await cluster.jsonPath('pvc data', '{.status.phase} {.status.capacity.storage}'), 'Bound 10Mi');
    assert.equal(directories().length, 1);
    assert.equal(statSync(join(cluster.dataDir, 'storage', directories()[0] ?? '')).mode & 0o7777, 0o777);
    await cluster.kubectl('delete', 'pod', 'first', '--now');
    await cluster.apply(pod('second', { claim: 'data' }));
    await isReady('second');
    assert.equal(await read('second', '/data/note'), 'kept');
  });

  test('an agent that starts again keeps the volume mounted, and mounts it for the next container', async () => {
    process.kill(cluster.pid('agent'), 'SIGKILL');
    const again = () => cluster.tryKubectl('exec', 'second', '--', 'cat', '/data/note');
    assert.equal(await until('the agent to be back', async () => (await again()).stdout || undefined), 'kept\n');
    await cluster.kubectl('delete', 'pod', 'second', '--now');
    await cluster.apply(pod('third', { claim: 'data', mount: ', subPath: a/b' }));
    await isReady('third');
    await cluster.kubectl('exec', 'third', '--', 'sh', '-c', 'echo below > /data/x');
    const [directory = ''] = directories();
    assert.equal(readFileSync(join(cluster.dataDir, 'storage', directory, 'a/b/x'), 'utf8'), 'below\n');
  });

  test('a claim in use stays; when its pod is gone it goes, and with it volume and directory', async () => {
    await cluster.kubectl('delete', 'pvc', 'data', '--wait=false');
    assert.match(await cluster.kubectl('get', 'pvc', 'data'), /Terminating/);
    await cluster.kubectl('delete', 'pod', 'third', '--now');
    await until('the directory to be gone', () => directories().length === 0);
    await until('the volume to be gone', async () => (await cluster.jsonPath('pv', '{.items[*].metadata.name}')) === '');
    assert.notEqual((await cluster.tryKubectl('get', 'pvc', 'data')).code, 0);
  });

  test('a StatefulSet of 2 has a volume for each member, which keeps it', async () => {
    await cluster.apply(`
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: db }
spec:
  replicas: 2
  serviceName: db
  selector: { matchLabels: { app: db } }
  template:
    metadata: { labels: { app: db } }
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: main
        image: "busybox:test"
        imagePullPolicy: IfNotPresent
        command: [sh, -c, "hostname >> /data/who; exec sleep 1000"]
        volumeMounts: [{ name: data, mountPath: /data }]
  volumeClaimTemplates:
  - metadata: { name: data }
    spec:${CLAIM.replaceAll('\n', '\n    ')}
`);
    await cluster.kubectl('rollout', 'status', 'sts/db', '--timeout=60s');
    assert.equal(await cluster.jsonPath('pvc -l app=db', '{.items[*].status.phase}'), 'Bound Bound');
    const uid = await cluster.jsonPath('pod db-1', '{.metadata.uid}');
    await cluster.kubectl('delete', 'pod', 'db-1', '--now');
    await until('another db-1', async () => {
      const { stdout } = await cluster.tryKubectl('get', 'pod', 'db-1', '-o', 'jsonpath={.metadata.uid}');
      return stdout !== '' && stdout !== uid;
    });
    await isReady('db-1');
    assert.equal(await read('db-1', '/data/who'), 'db-1\ndb-1');
    assert.equal(await read('db-0', '/data/who'), 'db-0');
    await cluster.kubectl('delete', 'sts', 'db', '--cascade=foreground');
    await cluster.kubectl('delete', 'pvc', '--all');
    await until('the directories to be gone', () => directories().length === 0);
  });

  test('an ephemeral volume comes and goes with its pod', async () => {
    const template = `ephemeral: { volumeClaimTemplate: { spec: { accessModes: [ReadWriteOnce], resources: { requests: { storage: 1Mi } } } } }`;
    await cluster.apply(pod('brief', { claim: 'x' }).replace('persistentVolumeClaim: { claimName: x }', template));
    await isReady('brief');
    assert.equal(await cluster.jsonPath('pvc brief-data', '{.status.phase} {.metadata.ownerReferences[0].name}'), 'Bound brief');
    await cluster.kubectl('delete', 'pod', 'brief', '--now');
    await until('the directory to be gone', () => directories().length === 0);
  });

  test('volumes made by hand: a local one is given to fsGroup, a hostPath one is mounted read-only, Retain keeps the files', async () => {
    const made = join(cluster.directory, 'disk');
    mkdirSync(made);
    writeFileSync(join(made, 'old'), 'old', { mode: 0o600 });
    const node = cluster.env.UMIAK_NODE_NAME;
    const capacity =
      'capacity: { storage: 1Gi }, accessModes: [ReadWriteOnce], storageClassName: hand, persistentVolumeReclaimPolicy: Retain';
    const affinity = `nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [{ key: kubernetes.io/hostname, operator: In, values: [${node}] }] }] } }`;
    await cluster.apply(`
apiVersion: v1
kind: PersistentVolume
metadata: { name: ${cluster.name}-disk, labels: { disk: local } }
spec: { ${capacity}, local: { path: ${made} }, ${affinity} }
---
apiVersion: v1
kind: PersistentVolume
metadata: { name: ${cluster.name}-host, labels: { disk: host } }
spec: { ${capacity}, hostPath: { path: ${made} } }
---${claim('on-disk', `${CLAIM}\n  storageClassName: hand\n  selector: { matchLabels: { disk: local } }`)}
${claim('on-host', `${CLAIM}\n  storageClassName: hand\n  selector: { matchLabels: { disk: host } }`)}
${pod('grouped', { claim: 'on-disk', spec: '  securityContext: { fsGroup: 4242, runAsUser: 1000, runAsGroup: 1000 }', script: 'touch /data/new' })}
---${pod('reader', { claim: 'on-host' }).replace('claimName: on-host', 'claimName: on-host, readOnly: true')}
`);
    await isReady('grouped');
    await isReady('reader');
    assert.equal(statSync(join(made, 'new')).gid, 4242, 'what is made there is the group’s');
    assert.equal(statSync(join(made, 'old')).mode & 0o777, 0o660);
    assert.equal(statSync(made).mode & 0o7777, 0o2775);
    assert.match((await cluster.tryKubectl('exec', 'reader', '--', 'touch', '/data/y')).stderr, /Read-only file system/);
    await cluster.kubectl('delete', 'pod', 'grouped', 'reader', '--now');
    await cluster.kubectl('delete', 'pvc', 'on-disk', 'on-host');
    await until('both to be released', async () => (await cluster.jsonPath('pv', '{.items[*].status.phase}')) === 'Released Released');
    assert.ok(existsSync(join(made, 'new')));
    await cluster.kubectl('delete', 'pv', '--all');
  });
});
