import type { ImageStore } from '#images/index.ts';
import type { Containers } from './containers.ts';
import { toContainerInspect } from './inspect-form.ts';
import { containerSizes } from './sizes.ts';

/** `GET /containers/{id}/json`. @throws NotFound */
export async function inspectContainer(
  containers: Containers,
  reference: string,
  { size, images, apiMinor }: { size: boolean; images: Pick<ImageStore, 'inspect'>; apiMinor: number },
): Promise<Record<string, unknown>> {
  const container = containers.find(reference);
  const { id, engine } = container;
  const { networks, streams } = containers.rooms;
  const { directory, layers } = containers.engine.rootfsParts(id);
  return toContainerInspect(container, {
    status: containers.statusOf(container),
    health: containers.healthOf(container),
    network: networks.settingsOf(container),
    files: containers.engine.sandboxFiles(container.sandboxId),
    environment: container.owner === 'docker' ? undefined : containers.engine.environmentOf(id),
    execIds: streams?.execIdsOf(id) ?? null,
    image: apiMinor >= 48 ? await images.inspect(engine.imageId).catch(() => undefined) : undefined,
    layers: { upper: directory, lower: layers, merged: directory.replace(/[^/]+$/, 'merged'), work: directory.replace(/[^/]+$/, 'work') },
    size: size ? (await containerSizes(containers.engine, [id]))[0] : undefined,
    apiMinor,
  });
}
