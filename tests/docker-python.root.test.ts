import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { buildImage, buildLayout, buildTar } from '#images/fixtures.ts';
import { busyboxLayer, DockerHost, dockerArchive } from './docker-host.ts';
import { serveRegistry, type TestRegistry } from './registry.ts';
import { fetchPython } from './third-party.ts';

/** The last version published with its tests. */
const VERSION = '6.1.3';
/** Of its time. */
const API_VERSION = '1.41';
/** Two halves that take about as long, each on an agent of its own, since they prune. */
const REST = [
  'api_build',
  'api_client',
  'api_exec',
  'api_healthcheck',
  'api_image',
  'api_network',
  'api_volume',
  'client',
  'errors',
  'models_containers',
  'models_images',
  'models_networks',
  'models_resources',
  'models_volumes',
  'regression',
];

/** What of the suite is not asked of us, each with why. Plugins and swarm's files are not in `SUITE`: COMPATIBILITY.md says so. */
const DIGEST = 'pulls by a digest of Docker Hub';
const WORDS = 'asks for words or ways of 2020 that Docker Engine 28 has no more';
const SWARM = 'swarm';
const HASTE = 'reads the log after the start without waiting: our start is back before `ls` has said anything';
const LINKS = 'variables of links';
const NOT_ASKED: Record<string, string> = {
  'models_images_test.py::ImageCollectionTest::test_pull_with_sha': DIGEST,
  'models_images_test.py::ImageCollectionTest::test_load_error': 'what is no archive is answered with 400, not with a stream that fails',
  'models_containers_test.py::ContainerCollectionTest::test_run_with_image_that_does_not_exist':
    'asks a registry that denies what is not there, as Docker Hub does',
  'api_image_test.py::ImportImageTest::test_import_from_url': 'serves on an address of its own choice',
  'api_network_test.py::TestNetworks::test_create_inspect_network_with_scope': SWARM,
  'api_network_test.py::TestNetworks::test_create_network_attachable': SWARM,
  'api_network_test.py::TestNetworks::test_create_network_ingress': SWARM,
  'api_network_test.py::TestNetworks::test_create_check_duplicate': WORDS,
  'api_network_test.py::TestNetworks::test_connect_with_ipv6_address': WORDS,
  'api_network_test.py::TestNetworks::test_create_network_ipv6_enabled': WORDS,
  'api_network_test.py::TestNetworks::test_create_with_ipv6_address': WORDS,
  'api_container_test.py::CreateContainerTest::test_create_with_restart_policy': WORDS,
  'api_container_test.py::AttachContainerTest::test_run_container_reading_socket_ws':
    'a fault of its own: a WebSocket client that knows no unix sockets',
  'errors_test.py': WORDS,
  'api_build_test.py::BuildTest::test_build_in_context_dockerfile': HASTE,
  'api_build_test.py::BuildTest::test_build_in_context_nested_dockerfile': HASTE,
  'api_build_test.py::BuildTest::test_build_in_context_abs_dockerfile': HASTE,
  'api_build_test.py::BuildTest::test_build_out_of_context_dockerfile': HASTE,
  'api_image_test.py::CommitTest': 'asks which container an image was committed from, which is not kept',
  'api_build_test.py::BuildTest::test_build_with_cache_from':
    'asks for no cache where that of `cache_from` is not there; ours has its own, too',
  'api_container_test.py::CreateContainerTest::test_create_with_links': LINKS,
  'api_container_test.py::ContainerCPUTest::test_create_with_runtime': 'asks whether the usual runtime is runc; ours is crun',
  'api_network_test.py::TestNetworks::test_create_with_linklocal_ips': 'link-local addresses are given on networks of users’ own alone',
  'models_containers_test.py::ContainerTest::test_exec_run_failed': WORDS,
};

const { have: source, missing } = await fetchPython('docker', VERSION, 'source');

describe(`docker's Python SDK ${VERSION}, its own integration tests`, { skip: missing ?? false, concurrency: true }, () => {
  for (const [half, names] of Object.entries({ containers: ['api_container'], 'all else': REST }))
    test(half, async t => {
      await using host = await DockerHost.start({ image: false });
      assert.equal((await host.api('POST', '/images/load?quiet=1', await alpineLike())).status, 200);
      await using _hub = await serveHub(host);
      // Only its tests of SSH use it, and those of terminals ask whether they have one of its channels.
      const stubs = join(host.cluster.directory, 'stubs');
      mkdirSync(stubs);
      writeFileSync(join(stubs, 'paramiko.py'), 'class Channel:\n    pass\n');
      const report = join(host.cluster.directory, 'report.xml');
      const files = names.map(name => `tests/integration/${name}_test.py`);
      const deselected = Object.keys(NOT_ASKED).flatMap(name => ['--deselect', `tests/integration/${name}`]);
      const options = ['-q', '-p', 'no:cacheprovider', '--timeout', '40', '--tb=short', `--junitxml=${report}`];
      const ran = await host.command('/usr/bin/python3', ['-m', 'pytest', ...options, ...deselected, ...files], {
        cwd: source ?? '',
        env: { PYTHONPATH: `${source}:${stubs}`, PYTHONDONTWRITEBYTECODE: '1', DOCKER_TEST_API_VERSION: API_VERSION },
        timeoutMs: 200_000,
      });
      assert.equal(ran.code, 0, `${ran.stdout.slice(-30_000)}${ran.stderr}`);
      const [tests, failures, skipped] = counts(readFileSync(report, 'utf8'));
      t.diagnostic(`${tests} tests, ${failures} failed, ${skipped} skipped by themselves`);
    });
});

/** What stands in for Docker Hub: a registry with what the suite pulls. */
async function serveHub(host: DockerHost): Promise<TestRegistry> {
  const registry = await serveRegistry(join(host.cluster.directory, 'hub'));
  const archive = join(host.cluster.directory, 'hub.tar');
  writeFileSync(archive, buildLayout(buildImage([await busyboxLayer()], { Cmd: ['true'], Env: ['PATH=/bin'] })));
  for (const name of ['alpine:latest', 'alpine:3.10', 'busybox:latest', 'hello-world:latest'])
    await registry.push(archive, `library/${name}`);
  const folder = join(host.cluster.dataDir, 'certs.d/docker.io');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'hosts.toml'), `server = "http://${registry.host}"\n`);
  return registry;
}

function counts(report: string): (string | undefined)[] {
  const of = (name: string) => new RegExp(`<testsuite [^>]*${name}="(\\d+)"`).exec(report)?.[1];
  return [of('tests'), of('failures'), of('skipped')];
}

/** Busybox with what the suite takes of Alpine: a user `postgres`, `/var/opt`, its names. */
async function alpineLike(): Promise<Buffer> {
  const users = 'root:x:0:0:root:/root:/bin/sh\npostgres:x:70:70::/var/lib/postgresql:/bin/sh\n';
  const groups = 'root:x:0:\npostgres:x:70:\n';
  const more = buildTar([{ name: 'etc/passwd', content: users }, { name: 'etc/group', content: groups }, { name: 'var/opt/' }]);
  return dockerArchive([await busyboxLayer(), more], { Cmd: ['sh'], Env: ['PATH=/bin'] }, [
    'alpine:3.10',
    'alpine:latest',
    'busybox:latest',
  ]);
}
