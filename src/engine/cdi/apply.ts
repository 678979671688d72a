import { readDevice } from '../devices.ts';
import type { OciDevice, OciHook, OciMount, OciSpec } from '../oci-types.ts';
import type { ContainerEdits, DeviceNode } from './spec.ts';

/** The specification with what devices change of it. @throws Invalid for a node that this machine does not have */
export function applyCdiEdits(spec: OciSpec, all: readonly ContainerEdits[], read = readDevice): OciSpec {
  const { process, linux, mounts, hooks } = spec;
  const env = new Map(process.env.map(pair => [pair.split('=', 1)[0]!, pair]));
  for (const pair of all.flatMap(edits => edits.env ?? [])) env.set(pair.split('=', 1)[0]!, pair);
  const nodes = all.flatMap(edits => edits.deviceNodes ?? []).map(node => toDevice(node, read));
  const paths = new Set(nodes.map(({ path }) => path));
  const added = all.flatMap(edits => edits.mounts ?? []).map(toMount);
  const targets = new Set(added.map(({ destination }) => destination));
  const gids = all.flatMap(edits => edits.additionalGids ?? []).filter(gid => gid !== 0);
  return {
    ...spec,
    process: {
      ...process,
      env: [...env.values()],
      ...(gids.length > 0
        ? { user: { ...process.user, additionalGids: [...new Set([...(process.user.additionalGids ?? []), ...gids])] } }
        : {}),
    },
    mounts: [...mounts.filter(({ destination }) => !targets.has(destination)), ...added.sort((a, b) => depthOf(a) - depthOf(b))],
    ...mergeHooks(hooks, all),
    linux: {
      ...linux,
      devices: [...(linux.devices ?? []).filter(({ path }) => !paths.has(path)), ...nodes.map(({ permissions: _, ...device }) => device)],
      resources: {
        ...linux.resources,
        devices: [
          ...linux.resources.devices,
          ...nodes.map(({ type, major, minor, permissions }) => ({ allow: true, access: permissions, type, major, minor })),
        ],
      },
    },
  };
}

/** What a specification does not say of a node the machine's own says. */
function toDevice(node: DeviceNode, read: typeof readDevice): OciDevice & { permissions: string } {
  const { path, hostPath = path, type, major, minor, permissions = 'rwm', fileMode, uid, gid } = node;
  const isWhole = type !== undefined && major !== undefined && minor !== undefined;
  const base = isWhole
    ? { path, type: type === 'b' ? ('b' as const) : ('c' as const), major, minor, permissions }
    : read(hostPath, path, permissions);
  return {
    ...base,
    ...(fileMode === undefined ? {} : { fileMode }),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  };
}

function toMount({ hostPath, containerPath, type = 'bind', options = [] }: NonNullable<ContainerEdits['mounts']>[number]): OciMount {
  const isBind = type === 'bind' || options.includes('bind') || options.includes('rbind');
  const bound = isBind && !options.includes('bind') && !options.includes('rbind') ? ['rbind', ...options] : options;
  return { destination: containerPath, type: isBind ? 'bind' : type, source: hostPath, options: bound };
}

function mergeHooks(before: OciSpec['hooks'], all: readonly ContainerEdits[]): Pick<OciSpec, 'hooks'> {
  const merged: Record<string, OciHook[]> = { ...before };
  for (const { hookName, path, args, env, timeout } of all.flatMap(edits => edits.hooks ?? [])) {
    const hook = { path, ...(args?.length ? { args } : {}), ...(env?.length ? { env } : {}), ...(timeout ? { timeout } : {}) };
    merged[hookName] = [...(merged[hookName] ?? []), hook];
  }
  return Object.keys(merged).length > 0 ? { hooks: merged } : {};
}

function depthOf({ destination }: OciMount): number {
  return destination.split('/').length;
}
