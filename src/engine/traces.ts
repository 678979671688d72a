import { readdirSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { EngineCgroups } from './cgroups.ts';
import type { ContainerRecord } from './records.ts';
import type { World } from './recovery.ts';
import { idsMentioned } from './world.ts';

/** Looks once, and tells of each container whether anything of a run of it may be left: processes, mounts, control groups, files. */
export function findTraces(
  { exits, bundles, states }: Pick<World, 'exits' | 'bundles' | 'states'>,
  cgroups: Pick<EngineCgroups, 'of'>,
): (record: Pick<ContainerRecord, 'id' | 'cgroupPath'>) => boolean {
  const mentioned = idsMentioned();
  const groups = new Map<string, ReadonlySet<string>>();
  const groupsIn = (parent: string) => {
    const known = groups.get(parent) ?? new Set(cgroups.of({ cgroupPath: parent }).directories().flatMap(listOf));
    groups.set(parent, known);
    return known;
  };
  return ({ id, cgroupPath }) =>
    mentioned.has(id) || exits.has(id) || bundles.has(id) || states.has(id) || groupsIn(dirname(cgroupPath)).has(basename(cgroupPath));
}

function listOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // gone meanwhile
  }
}
