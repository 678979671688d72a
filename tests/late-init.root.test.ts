import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';

/** As in many a container: what runs as init has no idea of being init. */
const INIT = '("$@" 2>&1; echo "ended with $?") & exec sleep 1000 >/dev/null 2>&1';

test('under an init that reaps nobody, containers end at once and nobody is left a zombie', { timeout: 120_000 }, async t => {
  const script = [process.execPath, '--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'late-init.ts')];
  const args = ['--pid', '--fork', '--kill-child', '--mount-proc', 'sh', '-c', INIT, 'sh', ...script];
  const namespace = spawn('unshare', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => namespace.kill('SIGKILL')); // and all that runs in it
  const said: string[] = [];
  for await (const line of createInterface(namespace.stdout)) if (said.push(line) && line.startsWith('ended with')) break;
  assert.equal(said.at(-1), 'ended with 0', said.join('\n'));
});
