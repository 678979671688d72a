import { readFile } from 'node:fs/promises';
import type { UmiakError } from '#base/errors.ts';
import type { Sandbox, SandboxConfig } from '#engine/engine.ts';
import { parseResolvConf } from '#net/resolv-conf.ts';
import type { CriContext, RuntimeHandlers } from './context.ts';
import { matchesSandbox } from './filters.ts';
import { toContainerStatus, toNanoseconds, toPodSandbox, toPodSandboxStatus } from './forms.ts';
import { imageNamesOf } from './image-names.ts';
import { findSandbox, needSandbox, visibleContainers, visibleSandboxes } from './lookup.ts';
import { NameReservations } from './names.ts';
import { inPieces } from './pieces.ts';
import { planSandbox, planSandboxResources, sandboxName } from './plan-sandbox.ts';
import { invalidField, requiredField } from './refuse.ts';
import type { PodSandboxFilter } from './types.gen.ts';
import { toInfo } from './verbose.ts';

/** Sandboxes: run, stop, remove, show. */
export function sandboxHandlers(context: CriContext): RuntimeHandlers {
  const { engine, network, clock } = context;
  const names = new NameReservations();
  const list = (filter: PodSandboxFilter | undefined) => visibleSandboxes(context).filter(sandbox => matchesSandbox(sandbox, filter));
  return {
    async RunPodSandbox({ config, runtimeHandler = '' }, { signal }) {
      if (!config) throw requiredField('config');
      const planned = planSandbox(config, {
        runtimeHandler,
        network,
        hostDns: parseResolvConf(await readFile(context.resolvConf, 'utf8').catch(() => '')),
      });
      if (runtimeHandler !== '' && !engine.runtimeHandlers().includes(runtimeHandler))
        throw unknownHandler(runtimeHandler, engine.runtimeHandlers());
      const name = sandboxName(config);
      using _ = names.reserve('sandbox', name, () => visibleSandboxes(context).find(each => nameOf(each) === name));
      const { id } = await engine.createSandbox(planned);
      if (signal.aborted) await engine.removeSandbox(id); // nobody would know it
      signal.throwIfAborted();
      return { podSandboxId: id };
    },

    async StopPodSandbox({ podSandboxId = '' }) {
      const sandbox = findSandbox(context, podSandboxId);
      if (sandbox) await engine.stopSandbox(sandbox.id);
      return {};
    },

    async RemovePodSandbox({ podSandboxId = '' }) {
      const sandbox = findSandbox(context, podSandboxId);
      if (sandbox) await engine.removeSandbox(sandbox.id);
      return {};
    },

    async UpdatePodSandboxResources({ podSandboxId, resources, overhead }) {
      const { id, config } = needSandbox(context, podSandboxId);
      // A parent that was named has its limits from whoever named it.
      const limits = isOwnGroup(config) ? planSandboxResources(resources, overhead) : undefined;
      if (limits) await engine.updateSandboxResources(id, limits);
      return {};
    },

    async PodSandboxStatus({ podSandboxId, verbose = false }) {
      const sandbox = needSandbox(context, podSandboxId);
      const containers = visibleContainers(context, { sandboxId: sandbox.id });
      const statuses = containers.map(async each => toContainerStatus(each, await imageNamesOf(context, each.imageId)));
      return {
        status: toPodSandboxStatus(sandbox),
        containersStatuses: await Promise.all(statuses),
        timestamp: toNanoseconds(clock.now()),
        ...(verbose ? { info: toInfo({ owner: sandbox.config.owner, config: sandbox.config, address: sandbox.address }) } : {}),
      };
    },

    async ListPodSandbox({ filter }) {
      return { items: list(filter).map(toPodSandbox) };
    },

    async *StreamPodSandboxes({ filter }) {
      for (const piece of inPieces(list(filter))) yield { podSandboxes: piece.map(toPodSandbox) };
    },
  };
}

function nameOf({ config: { metadata } }: Sandbox): string {
  return sandboxName({ metadata });
}

function unknownHandler(name: string, known: readonly string[]): UmiakError {
  return invalidField(
    'runtime_handler',
    `no runtime for ${JSON.stringify(name)} is configured`,
    `There are ${known.join(', ')}; see the setting \`runtimes\`.`,
  );
}

function isOwnGroup({ cgroupParent = '' }: SandboxConfig): boolean {
  return cgroupParent !== '' && !cgroupParent.startsWith('/');
}
