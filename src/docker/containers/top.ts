import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { UmiakError } from '#base/errors.ts';
import type { Containers } from './containers.ts';

const run = promisify(execFile);

/** `docker top`: what `ps` says of a container's processes, whatever columns are asked for. @throws Conflict, BadRequest */
export async function listProcesses(
  containers: Containers,
  reference: string,
  psArgs: string,
): Promise<{ Titles: string[]; Processes: string[][] }> {
  const container = containers.find(reference);
  const { id, engine } = container;
  if (engine.state !== 'running') throw new UmiakError('Conflict', `container ${id} is not running`);
  const args = psArgs.split(/\s+/).filter(Boolean);
  if (args.length > 64 || args.some(arg => arg.startsWith('--info') || arg.includes('\0')))
    throw new UmiakError('BadRequest', 'ps_args can not be used');
  const pids = new Set(containers.engine.processes(id));
  const text = await ps(args);
  const listed = planTop(text, pids);
  containers.tell(container, 'top');
  return listed;
}

async function ps(args: readonly string[]): Promise<string> {
  try {
    return (await run('ps', [...args], { maxBuffer: 16 << 20, timeout: 10_000, env: { LC_ALL: 'C', PATH: '/usr/bin:/bin' } })).stdout;
  } catch (cause) {
    const said = String((cause as { stderr?: string }).stderr ?? '')
      .trim()
      .split('\n')[0];
    throw new UmiakError('BadRequest', `ps: ${said || 'it can not be run'}`, { cause });
  }
}

/** Of what `ps` printed, the lines of those processes. Pure. @throws BadRequest without a column PID */
export function planTop(text: string, pids: ReadonlySet<number>): { Titles: string[]; Processes: string[][] } {
  const [first = '', ...lines] = text.split('\n');
  const Titles = first.trim().split(/\s+/);
  const column = Titles.indexOf('PID');
  if (column < 0) throw new UmiakError('BadRequest', "Couldn't find PID field in ps output");
  const Processes = lines.flatMap(line => {
    const fields = line.trim().split(/\s+/);
    if (!pids.has(Number(fields[column]))) return [];
    // The last column is a command line and has blanks of its own.
    return [[...fields.slice(0, Titles.length - 1), fields.slice(Titles.length - 1).join(' ')]];
  });
  return { Titles, Processes };
}
