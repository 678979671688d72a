import { type ImageRecord, toFamiliarName } from '#images/index.ts';
import type { DockerContext } from '../request.ts';

/** Tells docker's journal what was done to an image; its labels go along, as docker has it. */
export function tellImage(
  { events }: Pick<DockerContext, 'events'>,
  action: string,
  id: string,
  { name = id, record }: { name?: string; record?: ImageRecord | undefined } = {},
): void {
  const labels = record?.config.config?.Labels ?? {};
  events.emit({ type: 'image', action, id, attributes: { ...labels, name: toFamiliarName(name) } });
}
