import { execFile } from 'node:child_process';
import { UmiakError } from '#base/errors.ts';

export interface CredentialProgram {
  /** A path, or a name that is looked for in `PATH`. */
  file: string;
  args?: readonly string[];
  env: NodeJS.ProcessEnv;
  /** What it reads on its standard input. */
  input: string;
  timeoutMs?: number;
}

const MAX_OUTPUT_BYTES = 1 << 20;

/**
 * Asks a program for credentials. What it writes may be secret: on success it is returned, in messages it never stands.
 * @throws Unauthorized naming the program and how it ended; `isSaid` tells whether it wrote certain words, where failing means "I have none".
 */
export async function askForCredentials(
  { file, args = [], env, input, timeoutMs = 30_000 }: CredentialProgram,
  isSaid: (output: string) => boolean = () => false,
): Promise<string | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<string | undefined>();
  const child = execFile(
    file,
    [...args],
    { env, timeout: timeoutMs, maxBuffer: MAX_OUTPUT_BYTES, killSignal: 'SIGKILL', encoding: 'utf8' },
    (error, stdout) => {
      if (error === null) return resolve(stdout);
      if (isSaid(stdout)) return resolve(undefined);
      reject(
        new UmiakError('Unauthorized', `the credential helper ${file} ${howItEnded(error, timeoutMs)}`, {
          hint: 'Run it by hand to see what it says; it must be in PATH of who asks.',
        }),
      );
    },
  );
  // One that ends without reading is judged by how it ends.
  child.stdin?.on('error', () => {});
  child.stdin?.end(input);
  return await promise;
}

function howItEnded({ code, signal, killed }: Error & { code?: unknown; signal?: unknown; killed?: boolean }, timeoutMs: number): string {
  if (code === 'ENOENT') return 'is not there';
  if (code === 'EACCES') return 'may not be run';
  if (code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return `wrote more than ${MAX_OUTPUT_BYTES} bytes`;
  if (killed) return `did not answer within ${Math.round(timeoutMs / 1000)} s`;
  return typeof code === 'number' ? `failed with exit code ${code}` : `was ended by ${String(signal)}`;
}
