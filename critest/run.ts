/**
 * `make critest`: runs critest, the CRI validation suite of cri-tools, against the `cri.sock` of an instance started for it.
 *
 *   make critest [FOCUS='Streaming'] [SKIP='…'] [HANDLER=runc] [WEBSOCKET=1] [RESULTS=results] [KEEP=1]
 *
 * critest and crictl are built from the published Go module, once; everything made is in `.cache/critest`. What specs pull is made here and
 * stands in a registry of its own, which the instance takes for a mirror of every other (`hosts.toml`, `_default`). One spec pulls an image by
 * the digest that the suite's authors published: their bytes can't be made again, so that digest is replaced in the copy of the program
 * that runs by the digest of ours. WEBSOCKET=1 makes the specs of streams use WebSocket in place of SPDY.
 * Ends with 1 when a spec failed; results are in `.cache/critest/$RESULTS`.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, createWriteStream, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TestCluster } from '../tests/cluster.ts';
import { serveRegistry } from '../tests/registry.ts';
import { buildJudges } from './build.ts';
import { serveImages } from './images.ts';
import { cache } from './places.ts';
import { formatResults, readReport } from './report.ts';

/** Of `test-image-digest`, as it stands in the suite. */
const PUBLISHED_DIGEST = '9700f9a2f5bf2c45f2f605a0bd3bce7cf37420ec9d3ed50ac2758413308766bf';

const { FOCUS, SKIP, HANDLER, WEBSOCKET, RESULTS = 'results', LIMIT = '1800', KEEP } = process.env;
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
const judges = await buildJudges('crictl', 'critest', 'nnp', 'sh');
const directory = join(cache, RESULTS);
rmSync(directory, { recursive: true, force: true });
mkdirSync(directory, { recursive: true });
process.exitCode = (await runSuite()) ? 0 : 1;

async function runSuite(): Promise<boolean> {
  await using cluster = await TestCluster.open();
  await using registry = await serveRegistry(join(cluster.directory, 'registry'));
  const { digest } = await serveImages(registry, judges);
  mirrorEverything(cluster.dataDir, registry.host);
  await cluster.must('up');
  const program = join(cluster.directory, 'critest');
  copyFileSync(judges.critest, program);
  writeFileSync(program, replaceAll(readFileSync(program), PUBLISHED_DIGEST, digest.replace('sha256:', '')));
  const report = join(directory, 'report.json');
  await runCritest(program, [
    `-runtime-endpoint=unix://${cluster.runDir}/cri.sock`,
    '-ginkgo.no-color',
    `-ginkgo.timeout=${LIMIT}s`,
    `-ginkgo.json-report=${report}`,
    ...(FOCUS ? [`-ginkgo.focus=${FOCUS}`] : []),
    ...(SKIP ? [`-ginkgo.skip=${SKIP}`] : []),
    ...(HANDLER ? [`-runtime-handler=${HANDLER}`] : []),
    ...(WEBSOCKET ? ['exec', 'attach', 'portforward'].map(verb => `-websocket-${verb}`) : []),
  ]);
  for (const role of ['server', 'agent'] as const) writeFileSync(join(directory, `${role}.log`), cluster.log(role));
  const results = readReport(readFileSync(report, 'utf8'));
  const text = formatResults(results);
  writeFileSync(join(directory, 'results.txt'), text);
  console.log(`\ncritest ${judges.version}: ${text}`);
  if (KEEP) await new Promise(resolve => stop.signal.addEventListener('abort', resolve));
  return results.length > 0 && results.every(({ state }) => state !== 'failed');
}

/** Its log goes to a file; the names of the specs as they run are shown. */
async function runCritest(program: string, args: string[]): Promise<void> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], cwd: directory });
  const kill = () => child.kill('SIGINT');
  stop.signal.addEventListener('abort', kill, { once: true });
  const log = createWriteStream(join(directory, 'critest.log'));
  for (const stream of [child.stdout, child.stderr]) stream.pipe(log, { end: false });
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    for (const line of text.split('\n')) if (/^(•|S \[|\[FAILED\])/.test(line)) console.log(line.slice(0, 200));
  });
  const before = sharedSegments();
  await once(child, 'exit');
  log.end();
  // The suite makes shared memory on the machine to look for it in containers, and leaves it there.
  for (const id of sharedSegments().filter(each => !before.includes(each))) execFileSync('ipcrm', ['-m', id]);
}

/** Ids of the machine's segments of a mebibyte that nobody is attached to. */
function sharedSegments(): string[] {
  const rows = readFileSync('/proc/sysvipc/shm', 'utf8').trim().split('\n').slice(1);
  const columns = rows.map(row => row.trim().split(/\s+/));
  return columns.flatMap(([, id = '', , size, , , attached]) => (size === '1048576' && attached === '0' ? [id] : []));
}

function mirrorEverything(dataDir: string, host: string): void {
  const folder = join(dataDir, 'certs.d/_default');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'hosts.toml'), `[host."http://${host}"]\ncapabilities = ["pull", "resolve"]\n`);
}

/** Both texts are of one length. */
function replaceAll(bytes: Buffer, from: string, to: string): Buffer {
  for (let at = bytes.indexOf(from); at >= 0; at = bytes.indexOf(from, at + 1)) bytes.write(to, at, 'latin1');
  return bytes;
}
