import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { isPinned } from '#linux/namespaces.ts';
import { identify, type ProcessIdentity, readCommandLine } from '#linux/process.ts';
import type { EnginePaths } from './paths.ts';
import type { SandboxRecord } from './records.ts';
import type { World } from './recovery.ts';

/** Looks at the machine: `planRecovery`'s other half. */
export function readWorld(
  paths: EnginePaths,
  { bootId, sandboxes, nameless }: { bootId: string; sandboxes: readonly SandboxRecord[]; nameless: World['nameless'] },
): World {
  // Before the exit codes: a monitor that has ended by now has written its code.
  const monitors = findMonitors(paths);
  const states = new Set<string>();
  const started = new Set<string>();
  for (const root of paths.runtimeRoots()) {
    for (const name of list(root)) {
      const id = toContainerId(name);
      states.add(id);
      // In this order: the runtime makes the fifo first and the pid file last, and a start takes the fifo away.
      if (existsSync(`${paths.bundle(id)}/pid`) && !existsSync(`${root}/${id}/exec.fifo`) && existsSync(`${root}/${id}`)) started.add(id);
    }
  }
  const exits = list(paths.exits).flatMap((id): [string, number][] => {
    const code = readExitCode(paths, id);
    return code === undefined ? [] : [[id, code]];
  });
  return {
    bootId,
    exits: new Map(exits),
    monitors,
    bundles: new Set(list(paths.bundles)),
    states,
    started,
    pinned: new Set(sandboxes.filter(record => pinsOf(record).every(path => isPinned(path))).map(record => record.id)),
    nameless,
  };
}

/** The exit code that a monitor wrote (by rename, so whole), or undefined. */
export function readExitCode(paths: EnginePaths, id: string): number | undefined {
  try {
    const text = readFileSync(paths.exit(id), 'utf8').trim();
    return /^\d+$/.test(text) ? Number(text) : undefined;
  } catch {
    return undefined;
  }
}

/** When the monitor wrote the exit code, or undefined. */
export function exitTime(paths: EnginePaths, id: string): number | undefined {
  return statSync(paths.exit(id), { throwIfNoEntry: false })?.mtimeMs;
}

/** Living conmon processes with a bundle of ours. */
export function findMonitors(paths: EnginePaths): Map<string, ProcessIdentity> {
  const monitors = new Map<string, ProcessIdentity>();
  for (const process of findProcesses(`${paths.bundles}/`)) {
    const command = readCommandLine(process.pid);
    const bundle = command[command.indexOf('-b') + 1] ?? '';
    if (command[0]?.endsWith('conmon') && bundle.startsWith(`${paths.bundles}/`))
      monitors.set(bundle.slice(paths.bundles.length + 1), process);
  }
  return monitors;
}

/** What is as long as a container's id in any process' command line and in the table of mounts. */
export function idsMentioned(): ReadonlySet<string> {
  const commands = processIds().map(pid => readCommandLine(pid).join(' '));
  return new Set([...commands, readFileSync('/proc/self/mountinfo', 'utf8')].flatMap(text => text.match(/[0-9a-f]{64}/g) ?? []));
}

/** Processes that have `text` somewhere in their command line. */
export function findProcesses(text: string): ProcessIdentity[] {
  return processIds()
    .filter(pid => pid !== process.pid && readCommandLine(pid).join(' ').includes(text))
    .flatMap(pid => identify(pid) ?? []);
}

function processIds(): number[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number);
}

function pinsOf({ network, pins }: SandboxRecord): string[] {
  return [
    ...(network ? [network.path, network.ipc, network.uts, ...(network.user ? [network.user] : [])] : []),
    ...Object.values(pins ?? {}),
  ];
}

/** Of what a runtime calls its state: the id, or, as runsc does, more names with the id in them. */
export function toContainerId(name: string): string {
  return /[0-9a-f]{64}/.exec(name)?.[0] ?? name;
}

function list(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}
