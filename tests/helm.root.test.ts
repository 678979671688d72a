import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { TestCluster } from './cluster.ts';
import { fetchOldClients } from './third-party.ts';

const image = '{ name: main, image: "busybox:test", imagePullPolicy: IfNotPresent';
const hookJob = (when: string) => `apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .Release.Name }}-${when}
  annotations:
    helm.sh/hook: ${when}
    helm.sh/hook-weight: "5"
    helm.sh/hook-delete-policy: before-hook-creation
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers: [${image}, command: [sh, -c, "echo ${when} {{ .Values.said }}"] }]
`;

/** A chart with all that helm treats in a way of its own: definitions, hooks, tests, a lookup, notes. */
const chart: Record<string, string> = {
  'Chart.yaml': 'apiVersion: v2\nname: boat\nversion: 0.1.0\nappVersion: "1"\nkubeVersion: ">=1.30.0-0"\n',
  'values.yaml': 'said: one\nreplicas: 1\n',
  'crds/oars.yaml': `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: oars.boat.test }
spec:
  group: boat.test
  scope: Namespaced
  names: { plural: oars, singular: oar, kind: Oar }
  versions:
  - name: v1
    served: true
    storage: true
    schema: { openAPIV3Schema: { type: object, properties: { spec: { type: object, properties: { length: { type: integer, minimum: 1 } } } } } }
`,
  'templates/NOTES.txt': '{{ .Release.Name }} floats with {{ .Values.replicas }}\n',
  'templates/all.yaml': `apiVersion: v1
kind: ConfigMap
metadata: { name: {{ .Release.Name }}, labels: { release: {{ .Release.Name }} } }
data:
  said: {{ .Values.said | quote }}
  cluster: {{ (lookup "v1" "Namespace" "" "kube-system").metadata.name | default "unknown" | quote }}
  has: {{ .Capabilities.APIVersions.Has "apps/v1/Deployment" | quote }}
---
apiVersion: v1
kind: Service
metadata: { name: {{ .Release.Name }} }
spec: { selector: { app: {{ .Release.Name }} }, ports: [{ name: http, port: 80, targetPort: 8080 }] }
---
apiVersion: boat.test/v1
kind: Oar
metadata: { name: {{ .Release.Name }} }
spec: { length: {{ len .Values.said }} }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: {{ .Release.Name }} }
spec:
  replicas: {{ .Values.replicas }}
  selector: { matchLabels: { app: {{ .Release.Name }} } }
  template:
    metadata: { labels: { app: {{ .Release.Name }} }, annotations: { said: {{ .Values.said | quote }} } }
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - ${image},
          command: [sh, -c, "mkdir /www; echo $SAID >/www/index.html; exec httpd -f -p 8080 -h /www"],
          env: [{ name: SAID, value: {{ .Values.said | quote }} }],
          ports: [{ containerPort: 8080 }], readinessProbe: { httpGet: { port: 8080, path: / }, periodSeconds: 1 } }
`,
  'templates/before.yaml': hookJob('pre-install'),
  'templates/upgraded.yaml': hookJob('post-upgrade'),
  'templates/tests/reached.yaml': `apiVersion: v1
kind: Pod
metadata: { name: {{ .Release.Name }}-test, annotations: { helm.sh/hook: test, helm.sh/hook-delete-policy: before-hook-creation } }
spec:
  restartPolicy: Never
  containers: [${image}, command: [sh, -c, "wget -q -O - http://{{ .Release.Name }} | grep -x {{ .Values.said }}"] }]
`,
};

const { have: old, missing } = await fetchOldClients();

describe('helm, a chart from installation to its end', () => {
  let cluster: TestCluster;
  let directory: string;

  before(async () => {
    cluster = await TestCluster.up();
    await cluster.loadBusybox();
    directory = join(cluster.directory, 'chart');
    for (const [path, text] of Object.entries(chart)) {
      mkdirSync(dirname(join(directory, path)), { recursive: true });
      writeFileSync(join(directory, path), text);
    }
    for (const home of ['CACHE', 'CONFIG', 'DATA']) cluster.env[`HELM_${home}_HOME`] = join(cluster.directory, `helm-${home}`);
  });
  after(() => cluster?.[Symbol.asyncDispose]());

  for (const [name, binary, reason] of [
    ['helm4', join(import.meta.dirname, '../.bin/helm'), undefined],
    ['helm3', old?.helm ?? '', missing],
  ] as const)
    test(`${name}: install, test, upgrade, roll back, a failing upgrade, uninstall`, { skip: reason ?? false }, async () => {
      const tryHelm = (...args: string[]) => cluster.command(binary, args);
      const helm = async (...args: string[]) => {
        const { stdout, stderr, code } = await tryHelm(...args);
        assert.equal(code, 0, `helm ${args.join(' ')}: ${stdout}${stderr}`);
        return stdout;
      };
      const jsonpath = (path: string, ...of: string[]) => cluster.kubectl('get', ...of, '-o', `jsonpath=${path}`);
      const said = async () => (await jsonpath('{.data.said} {.data.cluster} {.data.has}', 'cm', name)).trim();
      const waits = ['--wait', '--timeout=60s'];

      assert.match(await helm('install', name, directory, ...waits), new RegExp(`STATUS: deployed[\\s\\S]*${name} floats with 1`));
      assert.equal(await said(), 'one kube-system true');
      assert.equal(await cluster.kubectl('logs', `job/${name}-pre-install`), 'pre-install one\n');
      assert.equal(await jsonpath('{.spec.length}', 'oar', name), '3');
      assert.equal(await jsonpath('{.status.availableReplicas}', 'deploy', name), '1');
      assert.match(await helm('test', name, '--timeout=60s'), /Phase: +Succeeded/);
      assert.match(await helm('list'), new RegExp(`^${name}\\s+default\\s+1\\s.*deployed\\s+boat-0\\.1\\.0`, 'm'));

      await helm('upgrade', name, directory, '--set=said=second,replicas=2', ...waits);
      assert.equal(await said(), 'second kube-system true');
      assert.equal(await jsonpath('{.status.availableReplicas}', 'deploy', name), '2');
      assert.equal(await cluster.kubectl('logs', `job/${name}-post-upgrade`), 'post-upgrade second\n');
      assert.match(await helm('test', name, '--timeout=60s'), /Phase: +Succeeded/);

      const refused = await tryHelm('upgrade', name, directory, '--set=said=', ...waits);
      assert.notEqual(refused.code, 0, refused.stdout);
      assert.match(refused.stderr, /spec\.length.*should be greater than or equal to 1/);
      assert.equal(await jsonpath('{.spec.length}', 'oar', name), '6');

      await helm('rollback', name, '1', ...waits);
      assert.equal(await said(), 'one kube-system true');
      const revisions = JSON.parse(await helm('history', name, '-o', 'json')) as { revision: number; status: string }[];
      assert.deepEqual(
        revisions.map(({ revision, status }) => `${revision} ${status}`),
        ['1 superseded', '2 superseded', '3 failed', '4 deployed'],
      );
      assert.match(await helm('get', 'manifest', name), /kind: Oar/);
      await helm('upgrade', name, directory, '--dry-run=server', '--set=said=never');
      assert.equal(await said(), 'one kube-system true');

      assert.match(await helm('uninstall', name, ...waits), /uninstalled/);
      assert.equal(await cluster.kubectl('get', 'deploy,svc,oar', '-l', `release=${name}`, '-o', 'name'), '');
      assert.equal((await cluster.tryKubectl('get', 'cm,deploy,oar', name)).code, 1);
      assert.equal(await helm('list', '-q'), '');
      assert.match(await cluster.kubectl('get', 'crd', '-o', 'name'), /oars\.boat\.test/, 'definitions stay, as helm leaves them');
    });
});
