import { mirroredContainerOf } from '#kinds/mirror-pod.ts';
import type { Pod } from '#kinds/pod.ts';
import { hostPortsOf, podRequests } from '#kinds/pod-resources.ts';
import type { Request } from './node-table.ts';

/** What a container without requests counts as when nodes are compared, so that such pods spread too. */
const DEFAULT_CPU_MILLI = 100;
const DEFAULT_MEMORY_BYTES = 200 * 2 ** 20;
const NO_PORTS: readonly string[] = [];
const NOTHING: ReadonlyMap<string, number> = new Map();

/** What the pod takes of a node, in the table's units. */
export function requestOf(pod: Pod): Request {
  const { spec } = pod;
  const { cpu = 0, memory = 0, 'ephemeral-storage': ephemeral = 0, ...others } = podRequests(spec);
  let [scoreCpu, scoreMemory] = [cpu, memory];
  for (const { resources } of spec.containers) {
    if (spec.resources?.requests?.cpu === undefined && resources?.requests?.cpu === undefined) scoreCpu += DEFAULT_CPU_MILLI;
    if (spec.resources?.requests?.memory === undefined && resources?.requests?.memory === undefined) scoreMemory += DEFAULT_MEMORY_BYTES;
  }
  const extended = Object.entries(others);
  const ports = hostPortsOf(spec);
  return {
    cpuMilli: cpu,
    memoryBytes: memory,
    ephemeralBytes: ephemeral,
    scoreCpuMilli: scoreCpu,
    scoreMemoryBytes: scoreMemory,
    extended: extended.length > 0 ? new Map(extended) : NOTHING,
    hostPorts: ports.length > 0 ? ports.map(({ hostIP, protocol, hostPort }) => `${hostIP}/${protocol}/${hostPort}`) : NO_PORTS,
    places: mirroredContainerOf(pod) === undefined ? 1 : 0,
  };
}
