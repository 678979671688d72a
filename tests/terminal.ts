import { spawn } from 'node:child_process';
import { join } from 'node:path';

/** Runs a shell line in a terminal of its own; its keyboard types `typed`, then stays silent. What was shown, and the exit code. */
export async function inTerminal(line: string, env: NodeJS.ProcessEnv, typed = ''): Promise<{ output: string; code: number | null }> {
  const PATH = `${join(import.meta.dirname, '../.bin')}:${process.env.PATH}`;
  const child = spawn('script', ['-qec', line, '/dev/null'], { env: { ...process.env, ...env, PATH } });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', chunk => (output += chunk));
  child.stdin.on('error', () => {}); // it ended without reading all
  child.stdin.write(typed);
  const code = await new Promise<number | null>(closed => child.once('close', closed));
  return { output, code };
}
