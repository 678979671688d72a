import { existsSync, readdirSync } from 'node:fs';
import { type ContainerRecord, readRecords, type SandboxRecord } from '#engine/records.ts';
import { NOBODY, ownerOf } from './resource-owners.ts';

/** What lies in an instance's data directory that belongs to nothing, and what nobody owns. No agent runs, so that nothing is on its way. */
export function findStrays(dataDir: string): string[] {
  const sandboxes = readRecords<SandboxRecord>(`${dataDir}/engine/sandboxes`);
  const containers = readRecords<ContainerRecord>(`${dataDir}/engine/containers`);
  const ids = new Set(sandboxes.records.map(({ id }) => id));
  const halfMade = [...sandboxes.records, ...containers.records].filter(({ phase }) =>
    ['creating', 'starting', 'removing'].includes(phase),
  );
  return [
    ...sandboxes.nameless.map(id => `sandbox ${id} has no record`),
    ...containers.nameless.map(id => `container ${id} has no record`),
    ...containers.records.flatMap(({ id, config }) => (ids.has(config.sandboxId) ? [] : [`container ${id} has no sandbox`])),
    ...halfMade.map(({ id, phase }) => `${id} is ${phase}`),
    ...list(dataDir).flatMap(name => {
      const path = `${dataDir}/${name}`;
      return ownerOf('files', path) === NOBODY ? [`${path}: ${NOBODY}`] : [];
    }),
  ];
}

/** What is left on the node of pods that the API doesn't know any more. `uids`: those it knows. */
export function findRemainsOfPods(dataDir: string, uids: ReadonlySet<string>): string[] {
  const sandboxes = readRecords<SandboxRecord>(`${dataDir}/engine/sandboxes`).records;
  return [
    ...sandboxes.flatMap(({ id, config: { owner, metadata } }) =>
      owner === 'node' && !uids.has(metadata.uid) ? [`sandbox ${id} of ${metadata.namespace}/${metadata.name}`] : [],
    ),
    ...podsIn(`${dataDir}/volumes`).flatMap(uid => (uids.has(uid) ? [] : [`volumes/${uid}`])),
    ...podsIn(`${dataDir}/volumes/..memory`).flatMap(uid => (uids.has(uid) ? [] : [`volumes/..memory/${uid}`])),
    ...list(`${dataDir}/pods`).flatMap(name => (uids.has(name.split('_')[2] ?? '') ? [] : [`pods/${name}`])),
  ];
}

function podsIn(directory: string): string[] {
  return list(directory).filter(name => !name.startsWith('.'));
}

function list(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}
