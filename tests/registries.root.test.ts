import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { temporaryDirectory } from '#images/fixtures.ts';
import { RegistryFixture } from '#images/registry-fixture.ts';
import { TestCluster } from './cluster.ts';

describe('private registries, from the command line to a pod', () => {
  let stack: AsyncDisposableStack;
  let cluster: TestCluster;
  let registry: RegistryFixture;
  let name: string;

  before(async () => {
    stack = new AsyncDisposableStack();
    registry = stack.use(await RegistryFixture.start());
    registry.login = { username: 'ann', password: 'secret' };
    name = `${registry.host}/team/box:1`;
    const directory = stack.use(await temporaryDirectory()).path;
    const write = (file: string, text: string) => {
      writeFileSync(join(directory, file), text);
      chmodSync(join(directory, file), 0o755);
    };
    write('config.json', JSON.stringify({ credHelpers: { [registry.host]: 'tested' } }));
    write('docker-credential-tested', '#!/bin/sh\necho \'{"Username":"ann","Secret":"secret"}\'\n');
    const apiVersion = 'credentialprovider.kubelet.k8s.io/v1';
    const providers = [{ name: 'provider', matchImages: [registry.host], defaultCacheDuration: '1m', apiVersion }];
    write('providers.yaml', JSON.stringify({ apiVersion: 'kubelet.config.k8s.io/v1', kind: 'CredentialProviderConfig', providers }));
    const auth = { [registry.host]: registry.login };
    const response = JSON.stringify({ apiVersion, kind: 'CredentialProviderResponse', cacheKeyType: 'Registry', auth });
    mkdirSync(join(directory, 'bin'));
    write('bin/provider', `#!/bin/sh\necho '${response}'\n`);
    cluster = stack.use(
      await TestCluster.up({
        DOCKER_CONFIG: directory,
        PATH: `${directory}:${process.env.PATH}`,
        UMIAK_IMAGE_CREDENTIAL_PROVIDER_CONFIG: join(directory, 'providers.yaml'),
        UMIAK_IMAGE_CREDENTIAL_PROVIDER_BIN_DIR: join(directory, 'bin'),
      }),
    );
    await cluster.loadBusybox();
  });
  after(() => stack.disposeAsync());

  test('an image is pushed with the login of a credential helper', async () => {
    await cluster.must('image', 'tag', 'busybox:test', name);
    assert.match(await cluster.must('image', 'push', name), /^pushed 127.*team\/box:1 sha256:/);
    await cluster.must('image', 'rm', name);
    assert.equal(registry.count('PUT /v2/team/box/manifests/1'), 1);
  });

  test('a pod pulls it with the login of a credential provider plugin', async () => {
    await cluster.apply(`apiVersion: v1
kind: Pod
metadata: { name: private }
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers: [{ name: main, image: "${name}", imagePullPolicy: Always, command: [echo, pulled] }]
`);
    await cluster.kubectl('wait', 'pod/private', '--for=jsonpath={.status.phase}=Succeeded', '--timeout=60s');
    assert.equal(await cluster.kubectl('logs', 'private'), 'pulled\n');
    await cluster.kubectl('delete', 'pod', 'private');
  });

  test('a pinned image stays; what the disk altered is found and pulled again', async () => {
    await cluster.must('image', 'pin', name);
    const refused = await cluster.umiak('image', 'rm', name);
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /is pinned/);
    const blobs = join(cluster.dataDir, 'content/sha256');
    const [largest = ''] = readdirSync(blobs).sort((a, b) => statSync(join(blobs, b)).size - statSync(join(blobs, a)).size);
    const bytes = readFileSync(join(blobs, largest));
    bytes[1000]! ^= 1;
    writeFileSync(join(blobs, largest), bytes);
    const found = await cluster.umiak('image', 'verify');
    assert.notEqual(found.code, 0);
    assert.match(found.stdout, /1 corrupt\n[\s\S]*lacks 1 blobs: pull it again/);
    await cluster.must('image', 'pull', name);
    assert.match(await cluster.must('image', 'verify'), /: all right\n$/);
    await cluster.must('image', 'unpin', name);
    await cluster.must('image', 'rm', name);
  });
});
