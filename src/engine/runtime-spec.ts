import type { OciSpec } from './oci-types.ts';
import type { OciRuntime } from './runtime.ts';

/** The specification as a runtime needs it. Pure. */
export function fitSpec(spec: OciSpec, { hasHostProcesses }: Pick<OciRuntime, 'hasHostProcesses'>, hostname: string): OciSpec {
  return {
    ...spec,
    // A kernel of its own in each container does not see the name in the pod's UTS namespace.
    ...(hasHostProcesses ? {} : { hostname }),
    linux: { ...spec.linux, cgroupsPath: toCgroupsPath(spec.linux.cgroupsPath) },
  };
}

/** `/a.slice/a-b.slice/umiak-1.scope` as OCI's runtimes take it from systemd's driver, `a-b.slice:umiak:1`; other paths as they are. Pure. */
export function toCgroupsPath(path: string): string {
  const [, slice, prefix, name] = /(?:^|\/)([^/]+\.slice)\/([^/-]+)-([^/]+)\.scope$/.exec(path) ?? [];
  return slice === undefined ? path : `${slice}:${prefix}:${name}`;
}
