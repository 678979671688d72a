import { type ImageStore, parseReference, toCanonicalName } from '#images/index.ts';
import type { Filters } from '../filters.ts';
import type { DockerContainer } from '../rooms.ts';
import { planContainerFilter } from './container-filters.ts';
import type { Containers } from './containers.ts';
import { namesByLinks } from './links.ts';
import { toContainerSummary } from './list-form.ts';
import { openMatches } from './name-patterns.ts';
import { containerSizes } from './sizes.ts';
import { toStatusText } from './state-words.ts';

export interface ListOptions {
  all: boolean;
  /** Below 0: no limit. */
  limit: number;
  size: boolean;
  filters: Filters;
  images: Pick<ImageStore, 'inspect' | 'list'>;
  nowMs: number;
  apiMinor: number;
}

/** `GET /containers/json`, the newest first; nothing is read from the disk unless sizes are asked for. */
export async function listContainers(containers: Containers, options: ListOptions): Promise<Record<string, unknown>[]> {
  const { limit, filters, size, images, nowMs, apiMinor } = options;
  const { networks } = containers.rooms;
  const byName = await imagesByName(images);
  const ancestors = await findAncestors(filters.get('ancestor') ?? [], images);
  const matches = await openMatches([...(filters.get('id') ?? []), ...(filters.get('name') ?? [])]);
  const passes = planContainerFilter(filters, {
    statusOf: container => containers.statusOf(container),
    healthOf: container => containers.healthOf(container)?.Status ?? 'none',
    portsOf: container => networks.portsOf(container),
    networksOf: container => Object.entries(networks.settingsOf(container).Networks).flatMap(([name, { NetworkID }]) => [name, NetworkID]),
    createdOf: reference => containers.find(reference).engine.createdAtMs,
    imagesOf: reference => ancestors.get(reference) ?? new Set(),
    matches,
  });
  const isAll = options.all || limit > 0 || (['status', 'exited', 'before', 'since'] as const).some(name => filters.has(name));
  const all = containers.all();
  const found = all
    .filter(container => (isAll || container.engine.state === 'running' || containers.isRestarting(container)) && passes(container))
    .sort((a, b) => b.engine.createdAtMs - a.engine.createdAtMs)
    .slice(0, limit > 0 ? limit : undefined);
  const sizes = size
    ? await containerSizes(
        containers.engine,
        found.map(({ id }) => id),
      )
    : [];
  const links = namesByLinks(all);
  return found.map((container, index) => {
    const status = containers.statusOf(container);
    return toContainerSummary(container, {
      status,
      text: toStatusText(container.engine, status, containers.healthOf(container)?.Status, nowMs),
      ports: networks.portsOf(container),
      networks: networks.settingsOf(container).Networks,
      image: nameNow(container, byName),
      linkNames: links.get(container.name),
      size: sizes[index],
      apiMinor,
    });
  });
}

async function imagesByName(images: ListOptions['images']): Promise<ReadonlyMap<string, string>> {
  const names = new Map<string, string>();
  for (const { id, repoTags, repoDigests } of await images.list()) for (const name of [...repoTags, ...repoDigests]) names.set(name, id);
  return names;
}

/** The name that it was made by, while that means the same image; else the image's id. */
function nameNow({ data: { image }, engine: { imageId }, owner }: DockerContainer, byName: ReadonlyMap<string, string>): string {
  if (owner !== 'docker' || imageId === image || imageId.startsWith(image) || imageId.startsWith(`sha256:${image}`)) return image;
  return byName.get(canonical(image)) === imageId ? image : imageId;
}

const canonicalNames = new Map<string, string>();

function canonical(name: string): string {
  const known = canonicalNames.get(name);
  if (known !== undefined) return known;
  if (canonicalNames.size > 1000) canonicalNames.clear();
  const found = toCanonical(name);
  canonicalNames.set(name, found);
  return found;
}

function toCanonical(name: string): string {
  try {
    return toCanonicalName(parseReference(name));
  } catch {
    return name;
  }
}

/** Images by the references that `ancestor` gives. One that is not there is nobody's. */
async function findAncestors(references: readonly string[], images: ListOptions['images']): Promise<Map<string, Set<string>>> {
  const found = new Map<string, Set<string>>();
  for (const reference of references) {
    const record = await images.inspect(reference).catch(() => undefined);
    const ids = new Set(record ? [record.id as string] : []);
    if (record)
      for (const other of await images.list()) if (standsOn(other.config.rootfs.diff_ids, record.config.rootfs.diff_ids)) ids.add(other.id);
    found.set(reference, ids);
  }
  return found;
}

function standsOn(layers: readonly string[], below: readonly string[]): boolean {
  return below.length > 0 && layers.length > below.length && below.every((layer, index) => layers[index] === layer);
}
