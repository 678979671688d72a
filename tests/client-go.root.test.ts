/**
 * A Go program that uses client-go with nothing but protobuf: its requests, answers, watches and errors. Skipped, and said so, where
 * there is no Go or its module proxy is out of reach; the codec's own tests need neither.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startTestCluster } from '#apiserver/test-cluster.ts';

const run = promisify(execFile);
const source = fileURLToPath(new URL('./client-go', import.meta.url));

test('client-go works in protobuf alone', { timeout: 600_000 }, async context => {
  const directory = await mkdtemp(join(tmpdir(), `umiak-client-go-${process.pid}-`));
  try {
    const program = join(directory, 'client');
    const obstacle = await build(program);
    if (obstacle) return context.skip(`NOT TESTED with client-go: ${obstacle}`);
    await using cluster = await startTestCluster();
    const { stdout } = await run(program, [cluster.kubeconfig], { timeout: 90_000 });
    assert.equal(stdout.trim(), 'ok');
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});

/** Why the program could not be had; undefined when it is there. What does not compile is an error of ours. */
async function build(program: string): Promise<string | undefined> {
  try {
    await run('go', ['mod', 'download'], { cwd: source, timeout: 120_000 });
  } catch (error) {
    return (error as { code?: string }).code === 'ENOENT' ? 'there is no go' : 'its modules could not be fetched';
  }
  await run('go', ['build', '-o', program, '.'], { cwd: source, timeout: 480_000 });
  return undefined;
}
