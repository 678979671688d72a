import type { OciSpec } from './oci-types.ts';
import type { OciRuntime } from './runtime.ts';
import { planProperties } from './systemd-slices.ts';

const SUBGROUP = 'run.oci.systemd.subgroup';

/** The specification as a runtime needs it. Pure. */
export function fitSpec(
  spec: OciSpec,
  { type, hasHostProcesses }: Pick<OciRuntime, 'type' | 'hasHostProcesses'>,
  hostname: string,
): OciSpec {
  const { cgroupsPath } = spec.linux;
  return {
    ...spec,
    // A kernel of its own in each container does not see the name in the pod's UTS namespace.
    ...(hasHostProcesses ? {} : { hostname }),
    // crun would make another group below the scope: limits and usage are looked for in the scope.
    ...(type === 'crun' && cgroupsPath.endsWith('.scope') ? { annotations: { ...spec.annotations, ...scopeAnnotations(spec) } } : {}),
    linux: { ...spec.linux, cgroupsPath: toCgroupsPath(cgroupsPath) },
  };
}

/** Limits as the scope's properties too: systemd takes back what it does not know when it is reloaded. The weight crun says itself. */
function scopeAnnotations({ linux: { resources } }: OciSpec): Record<string, string> {
  const { memory, cpu, pids } = resources;
  const properties = planProperties({
    ...(memory?.limit === undefined ? {} : { memoryLimitBytes: memory.limit }),
    ...(memory?.swap === undefined ? {} : { memorySwapLimitBytes: memory.swap }),
    ...(memory?.reservation === undefined ? {} : { memoryReservationBytes: memory.reservation }),
    ...(cpu?.quota === undefined ? {} : { cpuQuotaUs: cpu.quota }),
    ...(cpu?.period === undefined ? {} : { cpuPeriodUs: cpu.period }),
    ...(pids === undefined ? {} : { pidsLimit: pids.limit }),
  });
  return {
    [SUBGROUP]: '',
    ...Object.fromEntries(properties.map(([name, , value]) => [`org.systemd.property.${name}`, `uint64 ${value}`])),
  };
}

/** `/a.slice/a-b.slice/umiak-1.scope` as OCI's runtimes take it from systemd's driver, `a-b.slice:umiak:1`; other paths as they are. Pure. */
export function toCgroupsPath(path: string): string {
  const [, slice, prefix, name] = /(?:^|\/)([^/]+\.slice)\/([^/-]+)-([^/]+)\.scope$/.exec(path) ?? [];
  return slice === undefined ? path : `${slice}:${prefix}:${name}`;
}
