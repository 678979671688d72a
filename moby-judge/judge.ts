/**
 * Has moby's tests judge the docker face: the programs of one package after another run against an agent of their own. What does not pass is
 * exactly what `not-passing.ts` lists. `FOCUS` (an expression over tests' names) runs some of them, and then nothing listed is missed.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { DockerHost } from '../tests/docker-host.ts';
import { type Package, partsOf } from './build.ts';
import { loadFrozenImages } from './images.ts';
import { MAY_FAIL, NOT_PASSING } from './not-passing.ts';
import { cache } from './places.ts';
import { failuresOf, readResults, testsThatSay } from './report.ts';

/** What a test says that starts a dockerd, alone or as a swarm. */
const OWN_DAEMON = ['daemon.New(', 'swarm.NewSwarm('];
/** Tests make networks in 10.100.0.0/16 and above, where instances of tests usually lie. */
const NETWORKS = { UMIAK_POD_CIDR: '10.97.0.0/16', UMIAK_SERVICE_CIDR: '10.98.0.0/16' };
const PACKAGE_MS = 600_000;

/** Where `make moby` has built them. */
const built = process.env.UMIAK_MOBY;
const { FOCUS = '' } = process.env;

/** The tests of these packages, one after another on one agent. */
export function judge(...packages: readonly Package[]): void {
  describe('moby’s integration tests', { skip: built ? false : 'an optional target: make moby' }, () => {
    for (const name of packages) test(name, t => run(name, built ?? '', line => t.diagnostic(line)));
  });
}

async function run(name: Package, directory: string, say: (line: string) => void): Promise<void> {
  const { source, hello, tests } = partsOf(directory);
  const folder = join(source, 'integration', name);
  const sources = readdirSync(folder).filter(file => file.endsWith('_test.go'));
  const skipped = testsThatSay(sources.map(file => readFileSync(join(folder, file), 'utf8')).join('\n'), OWN_DAEMON);
  await using host = await DockerHost.start({ image: false, agentEnv: NETWORKS });
  await loadFrozenImages(host, hello);
  await using _hub = await serveEmptyHub(host.cluster.dataDir);
  const args = ['-test.v', `-test.timeout=${PACKAGE_MS / 1000}s`, `-test.skip=^(${skipped.join('|')})$`, `-test.run=${FOCUS}`];
  mkdirSync(join(cache, 'results'), { recursive: true });
  const log = join(cache, 'results', `${name.replaceAll('/', '-')}.log`);
  await runToFile(tests(name), args, { cwd: folder, env: { ...host.env, PATH: `${withRegistry(host)}:${process.env.PATH}` }, log });
  const output = readFileSync(log, 'utf8');
  const results = readResults(output);
  const count = (wanted: string) => results.filter(({ state }) => state === wanted).length;
  say(`${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped themselves, ${skipped.length} not run; ${log}`);
  assert.ok(results.length > 0 || FOCUS !== '', `no test ended: ${output.slice(-4_000)}\n--- agent\n${host.agentLog()}`);
  assert.doesNotMatch(output, /^(panic|fatal error): .*/m, log);
  const [listed, mayFail] = [NOT_PASSING, MAY_FAIL].map(table => Object.keys(table[name] ?? {}));
  const failures = failuresOf(results, [...(listed ?? []), ...(mayFail ?? [])]).filter(test => !mayFail?.includes(test));
  const expected = FOCUS === '' ? listed : listed?.filter(test => failures.includes(test));
  assert.deepEqual(failures, expected?.toSorted(), `what failed is not what is listed; ${log}`);
}

/** A folder with Debian's registry by the name that tests call it. */
function withRegistry(host: DockerHost): string {
  const folder = join(host.cluster.directory, 'programs');
  mkdirSync(folder);
  symlinkSync('/usr/bin/docker-registry', join(folder, 'registry'));
  return folder;
}

/** What stands in for Docker Hub: it has nothing. */
async function serveEmptyHub(dataDir: string): Promise<AsyncDisposable> {
  const words = JSON.stringify({ errors: [{ code: 'DENIED', message: 'requested access to the resource is denied' }] });
  const server = createServer((_, response) => response.writeHead(403).end(words));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const folder = join(dataDir, 'certs.d/docker.io');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'hosts.toml'), `server = "http://127.0.0.1:${(server.address() as AddressInfo).port}"\n`);
  return server;
}

/** A program whose output is there to be read while it runs. */
async function runToFile(program: string, args: string[], { log, ...options }: { cwd: string; env: NodeJS.ProcessEnv; log: string }) {
  const file = openSync(log, 'w');
  try {
    const child = spawn(program, args, { ...options, stdio: ['ignore', file, file], timeout: PACKAGE_MS + 10_000, killSignal: 'SIGKILL' });
    await once(child, 'exit');
  } finally {
    closeSync(file);
  }
}
