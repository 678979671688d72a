import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { DockerHost } from './docker-host.ts';
import { fetchPython } from './third-party.ts';

/** The last version published with its tests. */
const VERSION = '6.1.3';
const SUITE = [
  'api_build',
  'api_client',
  'api_container',
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
const NOT_ASKED: Record<string, string> = {
  'api_image_test.py::PullImageTest': 'pulls hello-world from Docker Hub',
  'api_image_test.py::ImportFromURLTest': 'serves on an address of the machine, which an agent of others can’t know',
};

const { have: source, missing } = await fetchPython('docker', VERSION, 'source');

describe(`docker's Python SDK ${VERSION}, its own integration tests`, { skip: missing ?? false }, () => {
  let host: DockerHost;
  before(async () => {
    host = await DockerHost.start({ image: false });
    for (const name of ['alpine:3.10', 'alpine:latest', 'busybox:latest']) await host.loadBusybox(name);
  });
  after(() => host?.[Symbol.asyncDispose]());

  test('all pass but those that are not asked', async t => {
    const report = join(host.cluster.directory, 'report.xml');
    const files = SUITE.map(name => `tests/integration/${name}_test.py`);
    const deselected = Object.keys(NOT_ASKED).flatMap(name => ['--deselect', `tests/integration/${name}`]);
    const args = ['-m', 'pytest', '-q', '-p', 'no:cacheprovider', '--tb=short', `--junitxml=${report}`, ...deselected, ...files];
    const ran = await host.command('python3', args, {
      cwd: source ?? '',
      env: { PYTHONPATH: source, PYTHONDONTWRITEBYTECODE: '1' },
      timeoutMs: 200_000,
    });
    const [tests, failures, skipped] = counts(readFileSync(report, 'utf8'));
    t.diagnostic(`${tests} tests, ${failures} failed, ${skipped} skipped by themselves`);
    assert.equal(ran.code, 0, ran.stdout.slice(-30_000));
  });
});

function counts(report: string): (string | undefined)[] {
  const of = (name: string) => new RegExp(`<testsuite [^>]*${name}="(\\d+)"`).exec(report)?.[1];
  return [of('tests'), of('failures'), of('skipped')];
}
