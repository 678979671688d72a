import { availableParallelism } from 'node:os';
import { UmiakError } from '#base/errors.ts';
import type { JsonObject } from '#base/json-object.ts';
import type { DockerContainer } from '../rooms.ts';
import { REFUSED } from './config-table.ts';
import type { Containers } from './containers.ts';
import type { HostConfig } from './forms.ts';
import { fitToMachine } from './machine-support.ts';
import { planResources } from './plan.ts';
import { validateResources, validateRestartPolicy } from './validate.ts';

/** Limits that can be changed while a container runs. */
const CHANGEABLE = [
  'BlkioWeight',
  'CpuShares',
  'CpuPeriod',
  'CpuQuota',
  'CpuRealtimePeriod',
  'CpuRealtimeRuntime',
  'CpusetCpus',
  'CpusetMems',
  'Memory',
  'MemorySwap',
  'MemoryReservation',
  'NanoCpus',
  'PidsLimit',
] as const;

/** `POST /containers/{id}/update`: what is absent or zero stays as it is. @returns docker's warnings. @throws BadRequest, Conflict */
export async function updateContainer(containers: Containers, id: string, body: JsonObject): Promise<string[]> {
  return await containers.exclusively(id, container => change(containers, container, body));
}

async function change(containers: Containers, { id, owner, data, engine: facts }: DockerContainer, body: JsonObject): Promise<string[]> {
  if (owner !== 'docker') throw new UmiakError('Conflict', `container ${id} belongs to a pod: its limits are the pod's`);
  const asked = body as Partial<HostConfig>;
  for (const field of Object.keys(REFUSED))
    if (body[field]) throw new UmiakError('BadRequest', `${field} can't be honoured: ${REFUSED[field]}`);
  const { hostConfig, warnings } = fitToMachine(planUpdate(data.hostConfig, asked), containers.support);
  validateResources(hostConfig, { ...containers.support, cpus: availableParallelism() });
  if (asked.RestartPolicy?.Name) {
    validateRestartPolicy(hostConfig.RestartPolicy);
    if (hostConfig.AutoRemove && hostConfig.RestartPolicy.Name !== 'no')
      throw new UmiakError('Conflict', 'Restart policy cannot be updated because AutoRemove is enabled for the container');
  }
  const resources = planResources(hostConfig);
  const isSame = JSON.stringify(resources) === JSON.stringify(planResources(data.hostConfig));
  if (!isSame)
    await containers.engine.updateResources(
      id,
      !hostConfig.PidsLimit && data.hostConfig.PidsLimit ? { ...resources, pidsLimit: -1 } : resources,
    );
  await containers.change(id, known => ({ ...known, hostConfig }));
  if (asked.RestartPolicy?.Name && facts.state !== 'running') containers.rooms.supervision?.changed(containers.find(id));
  containers.tell(containers.find(id), 'update');
  return warnings;
}

/** HostConfig after a change. Pure. @throws BadRequest for limits that exclude each other */
export function planUpdate(before: HostConfig, asked: Partial<HostConfig>): HostConfig {
  const after: HostConfig = { ...before };
  for (const field of CHANGEABLE) {
    const value = asked[field];
    if (value !== undefined && value !== null && value !== 0 && value !== '') Object.assign(after, { [field]: value });
  }
  // Docker writes a limit that was taken away as 0, and takes any number that is none for that.
  if (typeof asked.PidsLimit === 'number') after.PidsLimit = Math.max(0, asked.PidsLimit);
  if (asked.NanoCpus) {
    if (before.CpuPeriod > 0 && !asked.CpuPeriod) throw conflict('Nano CPUs', 'CPU Period');
    if (before.CpuQuota > 0 && !asked.CpuQuota) throw conflict('Nano CPUs', 'CPU Quota');
  }
  if ((asked.CpuPeriod || asked.CpuQuota) && before.NanoCpus > 0 && !asked.NanoCpus)
    throw conflict(asked.CpuPeriod ? 'CPU Period' : 'CPU Quota', 'Nano CPUs');
  if (asked.Memory && !asked.MemorySwap && before.MemorySwap > 0 && asked.Memory > before.MemorySwap)
    throw new UmiakError(
      'BadRequest',
      'Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time',
    );
  if (asked.RestartPolicy?.Name)
    after.RestartPolicy = { Name: asked.RestartPolicy.Name, MaximumRetryCount: asked.RestartPolicy.MaximumRetryCount ?? 0 };
  return after;
}

function conflict(asked: string, set: string): UmiakError {
  return new UmiakError('BadRequest', `Conflicting options: ${asked} cannot be updated as ${set} has already been set`);
}
