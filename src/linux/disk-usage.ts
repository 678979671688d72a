import { execFile } from 'node:child_process';

const PATIENCE_MS = 60_000;
const MOST_OUTPUT_BYTES = 4 << 20;

/**
 * Bytes on the disk, or inodes, below each of these directories, each on its own file system, counted by another process: trees can be large, and
 * whoever fills them may swap directories for links at any moment. What is not there, or was not counted in a minute, has none.
 */
export async function diskUsage(directories: readonly string[], counted: 'bytes' | 'inodes' = 'bytes'): Promise<Map<string, number>> {
  if (directories.length === 0) return new Map();
  const options = {
    timeout: PATIENCE_MS,
    killSignal: 'SIGKILL',
    maxBuffer: MOST_OUTPUT_BYTES,
    env: { LC_ALL: 'C', PATH: '/usr/bin:/bin' },
  } as const;
  // `-l`: what two of them hold by hard links counts for both. Files that vanish meanwhile make it fail in the end, with all else said.
  const how = counted === 'bytes' ? ['-l', '-B1'] : ['--inodes'];
  const output = await new Promise<string>((resolve, reject) => {
    execFile('du', ['-s', '-x', ...how, '--', ...directories], options, (error, stdout) => {
      if (error?.code === 'ENOENT') reject(error);
      else resolve(stdout);
    });
  });
  const lines = output.split('\n').map(line => /^(\d+)\t(.*)$/.exec(line));
  return new Map(lines.flatMap(found => (found ? [[found[2] ?? '', Number(found[1])]] : [])));
}
