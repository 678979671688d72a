import { mkdir, stat } from 'node:fs/promises';
import { UmiakError } from '#base/errors.ts';
import type { Container } from '#engine/engine.ts';
import { requireAnswering } from '#linux/answering.ts';
import type { CriContext, RuntimeHandlers } from './context.ts';
import { execSync } from './exec-sync.ts';
import { matchesContainer } from './filters.ts';
import { toContainerState, toContainerStatus, toCriContainer } from './forms.ts';
import { imageNamesOf } from './image-names.ts';
import { findContainer, needContainer, needSandbox, visibleContainers } from './lookup.ts';
import { NameReservations } from './names.ts';
import { inPieces } from './pieces.ts';
import { containerName, type MountedImages, planContainer } from './plan-container.ts';
import { planResources } from './plan-resources.ts';
import { requiredField } from './refuse.ts';
import type { ContainerFilter, Mount } from './types.gen.ts';
import { toInfo } from './verbose.ts';

/** Containers: create, start, stop, remove, change, show, look into. */
export function containerHandlers(context: CriContext): RuntimeHandlers {
  const { engine } = context;
  const names = new NameReservations();
  const list = (filter: ContainerFilter | undefined) => visibleContainers(context).filter(each => matchesContainer(each, filter));
  return {
    async CreateContainer({ podSandboxId, config }, { signal }) {
      if (!config) throw requiredField('config');
      const sandbox = needSandbox(context, podSandboxId);
      const planned = planContainer(config, sandbox, await mountedImages(context, config.mounts));
      const name = containerName(config, sandbox);
      using _ = names.reserve('container', name, () =>
        visibleContainers(context, { sandboxId: sandbox.id }).find(each => containerName(each.config, sandbox) === name),
      );
      await makeMissing((planned.mounts ?? []).flatMap(({ source, imageId }) => (imageId === undefined ? [source] : [])));
      const { id } = await engine.createContainer(planned);
      if (signal.aborted) await engine.removeContainer(id); // nobody would know it
      signal.throwIfAborted();
      return { containerId: id };
    },

    async StartContainer({ containerId }) {
      const { id, state } = needContainer(context, containerId);
      if (state !== 'created')
        throw new UmiakError('Conflict', `container ${id} is in state ${toContainerState(state)}; only a created one can be started`);
      await engine.startContainer(id);
      return {};
    },

    async StopContainer({ containerId = '', timeout = 0 }) {
      const container = findContainer(context, containerId);
      // One that is just being started is waited for, and stopped.
      if (container && container.state !== 'exited') await engine.stopContainer(container.id, { graceMs: Math.max(0, timeout) * 1000 });
      return {};
    },

    async RemoveContainer({ containerId = '' }) {
      const container = findContainer(context, containerId);
      if (!container) return {};
      if (container.state !== 'exited') await engine.stopContainer(container.id, { graceMs: 0 });
      await engine.removeContainer(container.id);
      return {};
    },

    async ListContainers({ filter }) {
      return { containers: list(filter).map(toCriContainer) };
    },

    async *StreamContainers({ filter }) {
      for (const piece of inPieces(list(filter))) yield { containers: piece.map(toCriContainer) };
    },

    async ContainerStatus({ containerId, verbose = false }) {
      const container = needContainer(context, containerId);
      return {
        status: toContainerStatus(container, await imageNamesOf(context, container.imageId)),
        ...(verbose ? { info: toInfo(describe(container)) } : {}),
      };
    },

    async UpdateContainerResources({ containerId, linux }) {
      const { id } = needContainer(context, containerId);
      // The score stays as it was given: the kernel takes a new one only from each process itself.
      const { oomScoreAdj: _, ...limits } = planResources(linux, 'linux');
      await engine.updateResources(id, limits);
      return {};
    },

    async ExecSync({ containerId, cmd = [], timeout = 0 }, { signal }) {
      const { id } = needContainer(context, containerId);
      if (cmd.length === 0) throw requiredField('cmd');
      return await execSync(context, id, { command: cmd, timeoutMs: timeout * 1000, signal });
    },
  };
}

/** As every runtime does: host paths need not be there. One that hangs holds up this call alone. */
async function makeMissing(paths: readonly string[]): Promise<void> {
  // Four that hang would be all of this process's threads for files.
  await requireAnswering(paths);
  for (const path of paths)
    try {
      await stat(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      await mkdir(path, { recursive: true, mode: 0o755 });
    }
}

/** The images that mounts name, unpacked. @throws NotFound for one that was not pulled */
async function mountedImages({ images }: CriContext, mounts: Mount[] = []): Promise<MountedImages> {
  const names = [...new Set(mounts.map(({ image }) => image?.image ?? '').filter(Boolean))];
  const found = names.map(async name => {
    const { id } = await images.inspect(name);
    return [name, { imageId: id, lowerDirs: await images.ensureUnpacked(id) }] as const;
  });
  return new Map(await Promise.all(found));
}

function describe({ config, pid, owner, imageId, config: { sandboxId } }: Container): object {
  return { sandboxID: sandboxId, pid: pid ?? 0, owner, imageId, config };
}
