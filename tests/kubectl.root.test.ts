import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Ran, TestCluster, until } from './cluster.ts';

const deployment = (image = 'busybox:test', replicas = 2) => `
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, labels: { app: web } }
spec:
  replicas: ${replicas}
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: ${image}
        imagePullPolicy: IfNotPresent
        command: [sh, -c, 'trap "exit 0" TERM; sleep 100000 & wait']
        ports: [{ containerPort: 8080 }]
`;

describe('what people type into kubectl', () => {
  let cluster: TestCluster;
  let kubectl: (...args: string[]) => Promise<string>;

  before(async () => {
    cluster = await TestCluster.up();
    kubectl = (...args) => cluster.kubectl(...args);
    await cluster.loadBusybox();
    await cluster.apply(deployment());
    await kubectl('rollout', 'status', 'deployment/web', '--timeout=60s');
  });
  after(() => cluster[Symbol.asyncDispose]());

  const file = (name: string, content: string) => {
    const path = join(cluster.directory, name);
    writeFileSync(path, content);
    return path;
  };
  /** What it said on stderr; it must fail. */
  const refused = async (...args: string[]) => failure(args, await cluster.tryKubectl(...args));
  const failure = (args: string[], { code, stdout, stderr }: Ran) => {
    assert.notEqual(code, 0, `kubectl ${args.join(' ')} should fail, and said ${stdout}${stderr}`);
    return stderr;
  };
  const jsonpath = (path: string, ...of: string[]) => kubectl('get', ...of, '-o', `jsonpath=${path}`);
  /** Words of a table, a row each. */
  const rows = (table: string) =>
    table
      .trim()
      .split('\n')
      .map(line => line.trim().split(/\s{2,}/));

  test('get: tables, wide, yaml, json, jsonpath, names, columns, sorted', async () => {
    const pods = rows(await kubectl('get', 'pods'));
    assert.deepEqual(pods[0], ['NAME', 'READY', 'STATUS', 'RESTARTS', 'AGE']);
    assert.deepEqual(
      pods.slice(1).map(row => row.slice(1, 4)),
      [
        ['1/1', 'Running', '0'],
        ['1/1', 'Running', '0'],
      ],
    );
    const wide = rows(await kubectl('get', 'pods', '-o', 'wide'));
    assert.deepEqual(wide[0], ['NAME', 'READY', 'STATUS', 'RESTARTS', 'AGE', 'IP', 'NODE', 'NOMINATED NODE', 'READINESS GATES']);
    assert.equal(wide[1]?.[6], cluster.env.UMIAK_NODE_NAME);
    assert.deepEqual(rows(await kubectl('get', 'deploy'))[1]?.slice(0, 4), ['web', '2/2', '2', '2']);
    assert.deepEqual(rows(await kubectl('get', 'deploy', '-o', 'wide'))[1]?.slice(5), ['main', 'busybox:test', 'app=web']);
    assert.deepEqual(rows(await kubectl('get', 'rs'))[1]?.slice(1, 4), ['2', '2', '2']);
    const node = rows(await kubectl('get', 'nodes'))[1];
    assert.deepEqual([node?.[0], node?.[1]], [cluster.env.UMIAK_NODE_NAME, 'Ready']);
    assert.deepEqual(rows(await kubectl('get', 'svc', 'kubernetes'))[1]?.slice(1, 5), [
      'ClusterIP',
      cluster.env.UMIAK_SERVICE_CIDR?.replace('.0/16', '.1'),
      '<none>',
      '443/TCP',
    ]);
    assert.deepEqual(
      rows(await kubectl('get', 'ns')).map(row => row.slice(0, 2)),
      [['NAME', 'STATUS'], ...['default', 'kube-node-lease', 'kube-public', 'kube-system'].map(name => [name, 'Active'])],
    );
    assert.match(
      await kubectl('get', 'deploy', 'web', '-o', 'yaml'),
      /^apiVersion: apps\/v1\nkind: Deployment\nmetadata:\n[\s\S]*\nstatus:\n {2}availableReplicas: 2\n/,
    );
    assert.equal(JSON.parse(await kubectl('get', 'deploy', 'web', '-o', 'json')).status.readyReplicas, 2);
    assert.equal(await kubectl('get', 'deploy', '-o', 'name'), 'deployment.apps/web\n');
    assert.equal(await jsonpath('{.spec.template.spec.containers[*].image}', 'deploy', 'web'), 'busybox:test');
    assert.equal(await kubectl('get', 'deploy', 'web', '-o', 'custom-columns=N:.metadata.name,R:.spec.replicas'), 'N     R\nweb   2\n');
    assert.equal(await kubectl('get', 'deploy', 'web', '-o', 'go-template={{.metadata.name}}'), 'web');
    assert.match(
      await kubectl('get', 'all'),
      /pod\/web-[\s\S]*service\/kubernetes[\s\S]*deployment\.apps\/web[\s\S]*replicaset\.apps\/web-/,
    );
    const [name = ''] = (await kubectl('get', 'pods', '--sort-by=.metadata.name', '-o', 'name')).split('\n');
    assert.match(name, /^pod\/web-[0-9a-z]+-[0-9a-z]{5}$/);
    assert.match(await kubectl('get', 'pods', '-A', '--show-labels'), /default +web-.*app=web,pod-template-hash=/);
    assert.equal(await refused('get', 'pod', 'nothing'), 'Error from server (NotFound): pods "nothing" not found\n');
    assert.match(await refused('get', 'gizmos'), /the server doesn't have a resource type "gizmos"/);
    assert.equal((await cluster.tryKubectl('get', 'pods', '-n', 'empty')).stderr, 'No resources found in empty namespace.\n');
  });

  test('describe: pod, deployment, node, service', async () => {
    const [name = ''] = (await jsonpath('{.items[*].metadata.name}', 'pods', '-l', 'app=web')).split(' ');
    const pod = await kubectl('describe', 'pod', name);
    for (const expected of [
      /^Controlled By: +ReplicaSet\/web-/m,
      /^Status: +Running$/m,
      /State: +Running\n/,
      /Ready: +True/,
      /Normal +Scheduled .*Successfully assigned default\//,
      /Normal +Started /,
    ])
      assert.match(pod, expected);
    const described = await kubectl('describe', 'deploy', 'web');
    assert.match(described, /^Replicas: +2 desired \| 2 updated \| 2 total \| 2 available \| 0 unavailable$/m);
    assert.match(described, /ScalingReplicaSet .*Scaled up replica set web-\w+ from 0 to 2/);
    const node = await kubectl('describe', 'node', cluster.env.UMIAK_NODE_NAME ?? '');
    for (const expected of [
      /^ {2}Ready +True /m,
      /Container Runtime Version: +umiak:\/\//,
      /Non-terminated Pods: +\(2 in total\)/,
      /^Allocated resources:/m,
    ])
      assert.match(node, expected);
    assert.match(await kubectl('describe', 'svc', 'kubernetes'), /Endpoints: +[\d.]+:\d+/);
  });

  test('create in its many ways, expose, run', async () => {
    await kubectl('create', 'configmap', 'made', '--from-literal=a=1', `--from-file=conf=${file('conf', 'x=y\n')}`);
    assert.equal(await jsonpath('{.data}', 'configmap', 'made'), '{"a":"1","conf":"x=y\\n"}');
    await kubectl('create', 'secret', 'generic', 'made', '--from-literal=p=w');
    assert.equal(await jsonpath('{.data.p}', 'secret', 'made'), 'dw==');
    await kubectl('create', 'secret', 'docker-registry', 'pull', '--docker-server=r.test', '--docker-username=u', '--docker-password=p');
    assert.equal(await jsonpath('{.type}', 'secret', 'pull'), 'kubernetes.io/dockerconfigjson');
    await kubectl('create', 'serviceaccount', 'worker');
    const token = await kubectl('create', 'token', 'worker', '--duration=1h');
    assert.equal(JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()).sub, 'system:serviceaccount:default:worker');
    await kubectl('create', 'deployment', 'quick', '--image=busybox:test', '--replicas=0');
    assert.match(await refused('create', 'deployment', 'quick', '--image=busybox:test'), /deployments\.apps "quick" already exists/);
    await kubectl('expose', 'deployment', 'web', '--port=80', '--target-port=8080');
    await until(
      'its endpoints',
      async () =>
        (await jsonpath('{.items[*].endpoints[*].addresses[0]}', 'endpointslices', '-l', 'kubernetes.io/service-name=web')).split(' ')
          .length === 2,
    );
    assert.match(
      await kubectl('run', 'shown', '--image=busybox:test', '--dry-run=client', '-o', 'yaml', '--labels=x=y', '--', 'ls'),
      /labels:\n {4}x: "y"/,
    );
    await kubectl('run', 'once', '--image=busybox:test', '--image-pull-policy=IfNotPresent', '--restart=Never', '--', 'echo', 'was here');
    await kubectl('wait', '--for=jsonpath={.status.phase}=Succeeded', 'pod/once', '--timeout=30s');
    assert.equal(await kubectl('logs', 'once'), 'was here\n');
    assert.equal(
      await kubectl('delete', 'pod/once', 'deploy/quick'),
      'pod "once" deleted from default namespace\ndeployment.apps "quick" deleted from default namespace\n',
    );
    const yaml = file(
      'many.yaml',
      'apiVersion: v1\nkind: ConfigMap\nmetadata: { generateName: gen- }\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: { name: second }\n',
    );
    assert.match(await kubectl('create', '-f', yaml), /^configmap\/gen-\w{5} created\nconfigmap\/second created\n$/);
    await kubectl('delete', 'cm', 'second');
  });

  test('apply, diff, edit, replace, patch in three ways, label, annotate', async () => {
    const config = (value: string) =>
      `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"applied"},"data":{"a":"${value}","b":"2"}}`;
    assert.equal(await cluster.apply(config('1')), 'configmap/applied created\n');
    assert.equal(await cluster.apply(config('1')), 'configmap/applied unchanged\n');
    const changed = file('changed.json', config('one'));
    const diff = await cluster.tryKubectl('diff', '-f', changed);
    assert.equal(diff.code, 1);
    assert.match(diff.stdout, /^- {2}a: "1"\n\+ {2}a: one$/m);
    assert.equal(await kubectl('apply', '-f', changed), 'configmap/applied configured\n');
    assert.equal((await cluster.tryKubectl('diff', '-f', changed)).code, 0);
    assert.equal(
      await cluster.apply('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"applied"},"data":{"b":"2"}}'),
      'configmap/applied configured\n',
    );
    assert.equal(await jsonpath('{.data}', 'cm', 'applied'), '{"b":"2"}', 'what is no longer applied goes');

    const editor = file('editor', '#!/bin/sh\nsed -i "s/b: .*/b: edited/" "$1"\n');
    chmodSync(editor, 0o755);
    cluster.env.EDITOR = editor;
    assert.equal(await kubectl('edit', 'cm', 'applied'), 'configmap/applied edited\n');
    assert.equal(await jsonpath('{.data.b}', 'cm', 'applied'), 'edited');

    await kubectl('patch', 'cm', 'applied', '--type=merge', '-p', '{"data":{"c":"3","b":null}}');
    await kubectl(
      'patch',
      'cm',
      'applied',
      '--type=json',
      '-p',
      '[{"op":"test","path":"/data/c","value":"3"},{"op":"add","path":"/data/d","value":"4"}]',
    );
    assert.equal(await jsonpath('{.data}', 'cm', 'applied'), '{"c":"3","d":"4"}');
    await kubectl(
      'patch',
      'deploy',
      'web',
      '-p',
      '{"spec":{"template":{"spec":{"containers":[{"name":"main","env":[{"name":"A","value":"1"}]}]}}}}',
    );
    assert.equal(
      await jsonpath('{.spec.template.spec.containers[0].image} {.spec.template.spec.containers[0].env[0].name}', 'deploy', 'web'),
      'busybox:test A',
    );
    assert.match(await refused('patch', 'cm', 'applied', '--type=json', '-p', '[{"op":"test","path":"/data/c","value":"9"}]'), /test/i);

    assert.equal(await kubectl('label', 'cm', 'applied', 'tier=front'), 'configmap/applied labeled\n');
    assert.match(await refused('label', 'cm', 'applied', 'tier=back'), /already has a value/);
    await kubectl('label', 'cm', 'applied', 'tier=back', '--overwrite');
    assert.match(await refused('label', 'cm', 'applied', 'bad key=x'), /[Ii]nvalid|malformed|illegal/);
    await kubectl('annotate', 'cm', 'applied', 'note=hello there');
    assert.equal(await jsonpath('{.metadata.labels.tier} {.metadata.annotations.note}', 'cm', 'applied'), 'back hello there');
    await kubectl('label', 'cm', 'applied', 'tier-');
    assert.equal(await jsonpath('{.metadata.labels.tier}', 'cm', 'applied'), '');
    const replaced = file('replaced.json', '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"applied"},"data":{"z":"26"}}');
    assert.equal(await kubectl('replace', '-f', replaced), 'configmap/applied replaced\n');
    assert.equal(await jsonpath('{.data}', 'cm', 'applied'), '{"z":"26"}');
    assert.match(await kubectl('delete', '-f', replaced), /^configmap "applied" deleted/);
    assert.equal(await kubectl('delete', '-f', replaced, '--ignore-not-found'), '');
  });

  test('scale; rollout status, history, undo, restart, pause, resume; set image, set env', async () => {
    await kubectl('rollout', 'status', 'deployment/web', '--timeout=60s');
    assert.equal(await kubectl('scale', 'deploy', 'web', '--replicas=3'), 'deployment.apps/web scaled\n');
    await kubectl('wait', '--for=jsonpath={.status.readyReplicas}=3', 'deploy/web', '--timeout=30s');
    assert.match(await refused('scale', 'deploy', 'web', '--current-replicas=9', '--replicas=1'), /Expected replicas to be 9, was 3/);
    await kubectl('scale', 'deploy', 'web', '--replicas=1');
    assert.match(await kubectl('rollout', 'status', 'deploy/web', '--timeout=60s'), /successfully rolled out/);
    await kubectl('annotate', 'deploy/web', 'kubernetes.io/change-cause=with A', '--overwrite');
    assert.equal(await kubectl('set', 'image', 'deploy/web', 'main=docker.io/library/busybox:test'), 'deployment.apps/web image updated\n');
    await kubectl('annotate', 'deploy/web', 'kubernetes.io/change-cause=another name', '--overwrite');
    await kubectl('rollout', 'status', 'deploy/web', '--timeout=60s');
    const history = rows(await kubectl('rollout', 'history', 'deploy/web'));
    assert.equal(history.length, 5, JSON.stringify(history));
    assert.deepEqual(history.at(-1), ['3', 'another name']);
    assert.match(await kubectl('rollout', 'history', 'deploy/web', '--revision=3'), /Image:\s+docker\.io\/library\/busybox:test/);
    assert.equal(await kubectl('rollout', 'undo', 'deploy/web'), 'deployment.apps/web rolled back\n');
    await kubectl('rollout', 'status', 'deploy/web', '--timeout=60s');
    assert.equal(await jsonpath('{.spec.template.spec.containers[0].image}', 'deploy', 'web'), 'busybox:test');
    await kubectl('rollout', 'undo', 'deploy/web', '--to-revision=1');
    await kubectl('rollout', 'status', 'deploy/web', '--timeout=60s');
    assert.equal(await jsonpath('{.spec.template.spec.containers[0].env}', 'deploy', 'web'), '');

    await kubectl('rollout', 'pause', 'deploy/web');
    await kubectl('set', 'env', 'deploy/web', 'B=2');
    assert.match(await kubectl('set', 'env', 'deploy/web', '--list'), /^B=2$/m);
    await until(
      'the change to be seen',
      async () =>
        (await jsonpath('{.status.observedGeneration}', 'deploy', 'web')) === (await jsonpath('{.metadata.generation}', 'deploy', 'web')),
    );
    assert.equal(Number(await jsonpath('{.status.updatedReplicas}', 'deploy', 'web')), 0, 'paused: nothing of it is rolled out');
    assert.match(await refused('rollout', 'restart', 'deploy/web'), /paused/);
    await kubectl('rollout', 'resume', 'deploy/web');
    await kubectl('rollout', 'status', 'deploy/web', '--timeout=60s');
    const before = await jsonpath('{.items[*].metadata.uid}', 'pods', '-l', 'app=web');
    await kubectl('rollout', 'restart', 'deploy/web');
    await kubectl('rollout', 'status', 'deploy/web', '--timeout=60s');
    await kubectl('wait', '--for=jsonpath={.status.replicas}=1', 'deploy/web', '--timeout=30s');
    const now = await until('the old pod to be gone', async () => {
      const uids = await jsonpath('{.items[*].metadata.uid}', 'pods', '-l', 'app=web');
      return !uids.includes(' ') && uids;
    });
    assert.notEqual(now, before);
  });

  test('selectors, namespaces and their end, watch, dry run, wait', async () => {
    await kubectl('create', 'namespace', 'shop');
    for (const [name, labels] of [
      ['one', 'tier=a,x=1'],
      ['two', 'tier=b'],
      ['three', 'tier=a'],
    ] as const) {
      await kubectl('-n', 'shop', 'create', 'configmap', name);
      await kubectl('-n', 'shop', 'label', 'configmap', name, ...labels.split(','));
    }
    const names = async (...selector: string[]) =>
      (await kubectl('-n', 'shop', 'get', 'cm', '-o', 'name', ...selector))
        .trim()
        .split('\n')
        .map(name => name.replace('configmap/', ''))
        .join(' ');
    assert.equal(await names('-l', 'tier=a'), 'one three');
    assert.equal(await names('-l', 'tier in (a,b),!x'), 'three two');
    assert.equal(await names('-l', 'tier notin (a),tier'), 'two');
    assert.equal(await names('--field-selector', 'metadata.name=two'), 'two');
    const node = cluster.env.UMIAK_NODE_NAME ?? '';
    assert.match(
      await kubectl('get', 'pods', '-A', '--field-selector', `spec.nodeName=${node},status.phase=Running`, '-o', 'name'),
      /^pod\/web-/,
    );
    assert.match(
      await refused('get', 'cm', '--field-selector', 'data.x=1'),
      /\(BadRequest\): Unable to find "\/v1, Resource=configmaps" that match label selector "", field selector "data\.x=1": /,
    );

    const watching = spawn(join(import.meta.dirname, '../.bin/kubectl'), ['-n', 'shop', 'get', 'cm', '--watch', '--output-watch-events'], {
      env: { ...process.env, KUBECONFIG: cluster.kubeconfig },
    });
    let seen = '';
    watching.stdout.setEncoding('utf8').on('data', chunk => (seen += chunk));
    await until('the first of the watch', () => /ADDED +two/.test(seen));
    await kubectl('-n', 'shop', 'label', 'cm', 'two', 'tier=c', '--overwrite');
    await kubectl('-n', 'shop', 'delete', 'cm', 'two');
    await until('its end', () => /^MODIFIED +two .*\nDELETED +two /m.test(seen)).catch(() => assert.fail(seen));
    watching.kill();

    const made = file('dry.yaml', deployment().replace('name: web,', 'name: dry,'));
    assert.equal(await kubectl('apply', '--dry-run=server', '-f', made), 'deployment.apps/dry created (server dry run)\n');
    assert.match(await refused('get', 'deploy', 'dry'), /NotFound/);
    // Held by a finalizer until kubectl is seen waiting for it.
    await kubectl('-n', 'shop', 'patch', 'cm', 'one', '-p', '{"metadata":{"finalizers":["umiak.test/held"]}}');
    await kubectl('-n', 'shop', 'delete', 'cm', 'one', '--wait=false');
    const watches = async () =>
      Number(
        /apiserver_longrunning_requests\{[^}]*resource="configmaps"[^}]*\} (\d+)/.exec(await kubectl('get', '--raw', '/metrics'))?.[1] ?? 0,
      );
    const watchedBefore = await watches();
    const waiting = kubectl('-n', 'shop', 'wait', '--for=delete', 'cm/one', '--timeout=30s');
    await until('kubectl to wait', async () => (await watches()) > watchedBefore);
    await kubectl('-n', 'shop', 'patch', 'cm', 'one', '-p', '{"metadata":{"finalizers":null}}');
    assert.equal(await waiting, 'configmap/one condition met\n');
    assert.match(await refused('wait', '--for=condition=Ready=False', 'node', node, '--timeout=1s'), /timed out waiting for the condition/);
    assert.match(await kubectl('delete', 'namespace', 'shop'), /^namespace "shop" deleted/);
    assert.match(await refused('-n', 'shop', 'create', 'configmap', 'late'), /namespaces "shop" not found/);
  });

  test('mistakes are told with their place', async () => {
    const wrong = file('wrong.yaml', deployment().replace('replicas: 2', 'replicas: two').replace('name: web,', 'name: wrong,'));
    assert.match(await refused('apply', '--validate=strict', '-f', wrong), /spec\.replicas|replicas/);
    const misspelt = file(
      'misspelt.yaml',
      deployment().replace('imagePullPolicy', 'imagePullPolity').replace('name: web,', 'name: misspelt,'),
    );
    assert.match(
      await refused('apply', '-f', misspelt),
      /strict decoding error: unknown field "spec\.template\.spec\.containers\[0\]\.imagePullPolity"/,
    );
    const warned = await cluster.tryKubectl('apply', '--validate=warn', '--dry-run=server', '-f', misspelt);
    assert.match(warned.stderr, /Warning: unknown field "spec\.template\.spec\.containers\[0\]\.imagePullPolity"/);
    assert.equal(warned.code, 0);
    const invalid = file(
      'invalid.yaml',
      deployment()
        .replace('image: busybox:test', 'image: ""')
        .replace('{ app: web } }\n    spec', '{ app: other } }\n    spec')
        .replace('name: web,', 'name: Wrong_Name,'),
    );
    const said = await refused('apply', '-f', invalid);
    for (const place of [
      /The Deployment "Wrong_Name" is invalid/,
      /metadata\.name: Invalid value: "Wrong_Name"/,
      /spec\.template\.metadata\.labels: Invalid value: .*`selector` does not match template `labels`/,
      /spec\.template\.spec\.containers\[0\]\.image: Required value/,
    ])
      assert.match(said, place);
    assert.match(
      await refused('patch', 'deploy', 'web', '-p', '{"spec":{"selector":{"matchLabels":{"app":"x"}}}}'),
      /spec\.selector: Invalid value: .*field is immutable/,
    );
    assert.match(await refused('create', 'service', 'clusterip', 'bad', '--tcp=99999:1'), /99999|spec\.ports\[0\]\.port/);
    assert.match(await refused('apply', '-f', file('torn.yaml', 'apiVersion: v1\nkind: [')), /error parsing/);
    assert.match(
      await refused('apply', '-f', file('kind.yaml', 'apiVersion: v9\nkind: Gizmo\nmetadata: { name: x }\n')),
      /no matches for kind "Gizmo" in version "v9"/,
    );
  });

  test('what is not there yet says so: 501 for what nobody would answer, warnings', async () => {
    const service =
      'apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nmetadata: { name: v1.x.test }\nspec: { group: x.test, version: v1, groupPriorityMinimum: 1, versionPriority: 1 }\n';
    const said = await refused('create', '-f', file('refused.yaml', service));
    assert.match(said, /Error from server \(NotImplemented\): .* (yet|until|not) /);
    assert.ok(said.length > 60, `a sentence, not ${said}`);
    const crd =
      'apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: { name: xs.x.test }\nspec: { group: x.test, scope: Namespaced, names: { plural: xs, kind: X }, versions: [] }\n';
    assert.match(
      await refused('create', '-f', file('crd.yaml', crd)),
      /spec\.versions: Invalid value: .*exactly one version marked as storage version/,
    );
    const policy = await cluster.tryKubectl(
      'create',
      '-f',
      file('policy.yaml', 'apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: x }\nspec: { podSelector: {} }\n'),
    );
    assert.equal(policy.code, 0, policy.stderr);
    assert.match(policy.stderr, /^Warning: /);
  });

  test('explain, api-resources, api-versions, version, cluster-info', async () => {
    const explained = await kubectl('explain', 'deployment.spec.strategy.rollingUpdate');
    assert.match(
      explained,
      /GROUP: +apps\nKIND: +Deployment\nVERSION: +v1\n[\s\S]*FIELD: rollingUpdate <RollingUpdateDeployment>[\s\S]*maxSurge\t<IntOrString>/,
    );
    assert.match(await kubectl('explain', 'pod', '--recursive'), /containers\t<\[\]Container> -required-/);
    assert.match(await refused('explain', 'pod.spec.nothing'), /field "nothing" does not exist/);
    const resources = await kubectl('api-resources');
    for (const line of [
      /^pods +po +v1 +true +Pod$/m,
      /^deployments +deploy +apps\/v1 +true +Deployment$/m,
      /^nodes +no +v1 +false +Node$/m,
    ])
      assert.match(resources, line);
    assert.match(await kubectl('api-versions'), /^discovery\.k8s\.io\/v1$/m);
    assert.match(await kubectl('version'), /^Server Version: v1\.36/m);
    assert.match(await kubectl('cluster-info'), new RegExp(`127\\.0\\.0\\.1:${cluster.apiPort}`));
    assert.equal(await kubectl('get', '--raw', '/readyz'), 'ok');
  });

  test('auth can-i, as others too', async () => {
    assert.equal(await kubectl('auth', 'can-i', '*', '*'), 'yes\n');
    assert.match(await kubectl('auth', 'whoami'), /Username +kubernetes-admin/);
    await kubectl('create', 'serviceaccount', 'looker');
    await kubectl('create', 'rolebinding', 'looker', '--clusterrole=view', '--serviceaccount=default:looker');
    const token = (await kubectl('create', 'token', 'looker')).trim();
    const config = join(cluster.directory, 'looker.kubeconfig');
    const as = async (...args: string[]) =>
      cluster.tryKubectl(
        '--kubeconfig',
        config,
        '--server',
        `https://127.0.0.1:${cluster.apiPort}`,
        '--certificate-authority',
        join(cluster.directory, 'ca.crt'),
        '--token',
        token,
        ...args,
      );
    writeFileSync(join(cluster.directory, 'ca.crt'), await jsonpath('{.data.ca\\.crt}', 'cm', 'kube-root-ca.crt'));
    writeFileSync(config, '');
    assert.equal((await as('auth', 'can-i', 'list', 'pods')).stdout, 'yes\n');
    const no = await as('auth', 'can-i', 'delete', 'pods');
    assert.deepEqual([no.stdout, no.code], ['no\n', 1]);
    assert.equal((await as('get', 'pods', '-o', 'name')).code, 0);
    assert.match(
      (await as('get', 'secrets')).stderr,
      /Forbidden.*User "system:serviceaccount:default:looker" cannot list resource "secrets" in API group "" in the namespace "default"/,
    );
    assert.match(await kubectl('auth', 'can-i', '--list', '--namespace=default'), /\*\.\* +\[\] +\[\] +\[\*\]/);
    assert.equal((await cluster.tryKubectl('auth', 'can-i', 'list', 'pods', '--as=nobody')).stdout.trim().split('\n').at(-1), 'no');
  });

  test('events, cordon, taint, drain, uncordon', async () => {
    const node = cluster.env.UMIAK_NODE_NAME ?? '';
    assert.match(await kubectl('events'), /Normal +ScalingReplicaSet +Deployment\/web/);
    await kubectl('cordon', node);
    assert.match(await kubectl('get', 'node', node), /Ready,SchedulingDisabled/);
    await kubectl('run', 'waits', '--image=busybox:test', '--image-pull-policy=IfNotPresent', '--', 'sleep', '1000');
    const told = await until('FailedScheduling', async () => {
      const events = await kubectl('events', '--for=pod/waits');
      return events.includes('FailedScheduling') && events;
    });
    assert.match(told, /0\/1 nodes are available: 1 node\(s\) were unschedulable/);
    const drained = await cluster.tryKubectl('drain', node, '--ignore-daemonsets', '--timeout=60s');
    assert.equal(drained.code, 0, drained.stdout + drained.stderr);
    assert.match(drained.stdout, /pod\/web-.* evicted/);
    await kubectl('uncordon', node);
    await kubectl('rollout', 'status', 'deploy/web', '--timeout=60s');
    await kubectl('wait', '--for=condition=Ready', 'pod/waits', '--timeout=30s');
    await kubectl('taint', 'node', node, 'only=these:NoSchedule');
    await kubectl('run', 'tainted', '--image=busybox:test', '--', 'sleep', '1000');
    await until('FailedScheduling', async () => /untolerated taint/.test(await kubectl('events', '--for=pod/tainted')));
    await kubectl('taint', 'node', node, 'only-');
    await kubectl('delete', 'pod', 'waits', 'tainted', '--grace-period=1');
  });

  test('deletion takes along what it owns, or leaves it when told so', async () => {
    await kubectl('delete', 'deploy', 'web', '--cascade=orphan');
    assert.match(await kubectl('get', 'rs', '-o', 'name'), /replicaset\.apps\/web-/);
    assert.match(await kubectl('get', 'pods', '-l', 'app=web', '-o', 'name'), /pod\/web-/);
    await cluster.apply(deployment('busybox:test', 1));
    await kubectl('rollout', 'status', 'deploy/web', '--timeout=60s');
    await kubectl('delete', 'deploy', 'web', '--cascade=foreground', '--timeout=60s');
    assert.equal(await kubectl('get', 'pods', '-l', 'app=web', '-o', 'name'), '');
    await kubectl('delete', 'cm,secret', '--all');
    await until('the root CA to be back', async () => (await cluster.tryKubectl('get', 'cm', 'kube-root-ca.crt')).code === 0);
  });
});
