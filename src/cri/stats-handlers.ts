import { join } from 'node:path';
import { DiskFigures } from '#engine/disk-figures.ts';
import type { Container, Sandbox } from '#engine/engine.ts';
import type { CriContext, ImageHandlers, RuntimeHandlers } from './context.ts';
import { hasLabels } from './filters.ts';
import { needContainer, needSandbox, visibleContainers, visibleSandboxes } from './lookup.ts';
import { Measuring } from './measuring.ts';
import { METRIC_DESCRIPTORS, toSandboxMetrics } from './metrics.ts';
import { inPieces } from './pieces.ts';
import { toContainerStats, toFilesystem, toSandboxStats } from './stats-forms.ts';
import type { ContainerStatsFilter, PodSandboxStatsFilter } from './types.gen.ts';

/** Statistics and metrics of what runs, measured when they are asked for. */
export function statsHandlers(context: CriContext): RuntimeHandlers {
  const measuring = new Measuring(context);
  const containers = (filter?: ContainerStatsFilter) => visibleContainers(context).filter(each => matchesContainer(each, filter));
  const sandboxes = (filter?: PodSandboxStatsFilter) => visibleSandboxes(context).filter(each => matchesSandbox(each, filter));
  return {
    async ContainerStats({ containerId }) {
      return { stats: toContainerStats(await measuring.container(needContainer(context, containerId))) };
    },
    async ListContainerStats({ filter }) {
      return { stats: (await measuring.containers(containers(filter))).map(toContainerStats) };
    },
    async *StreamContainerStats({ filter }) {
      for (const some of inPieces(containers(filter))) yield { containerStats: (await measuring.containers(some)).map(toContainerStats) };
    },
    async PodSandboxStats({ podSandboxId }) {
      return { stats: toSandboxStats(await measuring.sandbox(needSandbox(context, podSandboxId))) };
    },
    async ListPodSandboxStats({ filter }) {
      return { stats: (await measuring.sandboxes(sandboxes(filter))).map(toSandboxStats) };
    },
    async *StreamPodSandboxStats({ filter }) {
      for (const some of inPieces(sandboxes(filter))) yield { podSandboxStats: (await measuring.sandboxes(some)).map(toSandboxStats) };
    },
    async ListMetricDescriptors() {
      return { descriptors: METRIC_DESCRIPTORS };
    },
    async ListPodSandboxMetrics() {
      return { podMetrics: (await measuring.sandboxes(sandboxes())).map(toSandboxMetrics) };
    },
    async *StreamPodSandboxMetrics() {
      for (const some of inPieces(sandboxes())) yield { podSandboxMetrics: (await measuring.sandboxes(some)).map(toSandboxMetrics) };
    },
  };
}

/** `ImageFsInfo`: what images and containers take of the disk. */
export function diskHandlers({ dataDir, clock, images }: Pick<CriContext, 'dataDir' | 'clock' | 'images'>): ImageHandlers {
  const disk = new DiskFigures({ clock });
  const containers = join(dataDir, 'engine/containers');
  return {
    async ImageFsInfo() {
      const ofContainers = (await disk.of([containers])).get(containers);
      const { bytes: usedBytes, inodes: inodesUsed } = await images.diskUsage();
      const atMs = clock.now();
      const ofImages = { atMs, usedBytes, inodesUsed };
      return {
        imageFilesystems: [toFilesystem(join(dataDir, 'layers'), ofImages)],
        containerFilesystems: [toFilesystem(containers, ofContainers ?? { atMs, usedBytes: 0, inodesUsed: 0 })],
      };
    },
  };
}

function matchesContainer({ id, config }: Container, filter: ContainerStatsFilter = {}): boolean {
  return (
    id.startsWith(filter.id ?? '') &&
    config.sandboxId.startsWith(filter.podSandboxId ?? '') &&
    hasLabels(config.labels, filter.labelSelector)
  );
}

function matchesSandbox({ id, config }: Sandbox, filter: PodSandboxStatsFilter = {}): boolean {
  return id.startsWith(filter.id ?? '') && hasLabels(config.labels, filter.labelSelector);
}
