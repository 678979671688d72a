import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { TestCluster, until } from './cluster.ts';
import { matchesShown, readTour } from './tour.ts';

const ROOT = resolve(import.meta.dirname, '..');
const MARK = '=== end of block, exit code ';
const BLOCK_MS = 180_000;

let cluster: TestCluster;
let shell: Shell;

before(async () => {
  cluster = await TestCluster.open();
  // Packages are kept by their sha256, so that only the first run on a machine fetches them.
  const packages = join(ROOT, '.cache', 'packages');
  mkdirSync(packages, { recursive: true });
  mkdirSync(cluster.dataDir, { recursive: true });
  symlinkSync(packages, join(cluster.dataDir, 'packages'));
  shell = new Shell(cluster.env);
});
after(async () => {
  shell?.[Symbol.dispose]();
  await cluster?.[Symbol.asyncDispose]();
});

for (const { script, shows } of readTour(readFileSync(join(ROOT, 'README.md'), 'utf8'))) {
  test(`README: ${script.trim().split('\n').join('; ')}`, { timeout: BLOCK_MS }, async () => {
    const run = async () => {
      const { output, code } = await shell.run(toInstance(script));
      assert.equal(code, 0, output);
      return output;
    };
    if (shows === undefined) return void (await run());
    let output = '';
    const look = async () => {
      output = await run();
      return matchesShown(shows, output);
    };
    await until(`the output of the README:\n${shows}`, look).catch(error => assert.fail(`${error.message}\ninstead of\n${output}`));
  });
}

test('the tour leaves nothing', async () => {
  const { stdout } = await cluster.command('sh', ['-c', 'ip -br link; nft list tables; cat /proc/mounts; ls /sys/fs/cgroup/*']);
  // Directories of killed runs that had the same name are not ours.
  assert.doesNotMatch(stdout, new RegExp(`\\b${cluster.name}\\b(?!-)|${basename(cluster.directory)}`));
});

/** The page speaks of the default instance; the test has one of its own, with the node port where `examples/run.ts` puts it. */
function toInstance(script: string): string {
  const last = cluster.env.UMIAK_NODE_PORT_RANGE?.split('-')[1];
  return script.replaceAll('127.0.0.1:30080', `127.0.0.1:${last}`).replaceAll('/run/umiak/', `${cluster.runDir}/`);
}

/** One bash at the root of the checkout, given one script after another; variables stay, as they do for a person. */
class Shell implements Disposable {
  readonly #child;
  #output = '';
  #hear = () => {};

  constructor(env: Record<string, string>) {
    this.#child = spawn('bash', ['--noprofile', '--norc'], { cwd: ROOT, env: { ...process.env, ...env, NO_COLOR: '1' }, stdio: 'pipe' });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        this.#output += chunk;
        this.#hear();
      });
    this.#child.once('exit', () => this.#hear());
  }

  /** Runs all of `script`, unless a line fails. Resolves with what it said and the exit code. */
  async run(script: string): Promise<{ output: string; code: number }> {
    this.#output = '';
    const ended = Promise.withResolvers<{ output: string; code: number }>();
    this.#hear = () => {
      const [output = '', code] = this.#output.split(MARK);
      if (code?.includes('\n')) ended.resolve({ output, code: Number.parseInt(code, 10) });
      else if (this.#child.exitCode !== null || this.#child.signalCode !== null)
        ended.reject(new Error(`the shell ended:\n${this.#output}`));
    };
    // Without a stdin of their own commands would read the scripts that are still to come.
    const lines = script.trim().split('\n').join(' &&\n');
    this.#child.stdin.write(`{ ${lines}; } </dev/null; printf '%s%d\\n' '${MARK}' $?\n`);
    return await ended.promise;
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}
