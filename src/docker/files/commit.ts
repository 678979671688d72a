import { UmiakError } from '#base/errors.ts';
import { isObject } from '#base/json-object.ts';
import { MOUNT_POINTS } from '#engine/files/mount-points.ts';
import { composeImage, toLayerDescriptor } from '#images/compose.ts';
import { type ImageConfig, toFamiliarName } from '#images/index.ts';
import { type Descriptor, parseManifestOrIndex } from '#images/oci.ts';
import { planConfig } from '../containers/config.ts';
import { CONFIG } from '../containers/config-table.ts';
import { decodeFields } from '../containers/decode.ts';
import type { Config } from '../containers/forms.ts';
import { type DockerRequest, flagOf, readJson } from '../request.ts';
import type { DockerContainer } from '../rooms.ts';
import { applyInstructions } from './apply-instructions.ts';
import type { FilesRoom } from './files-room.ts';
import { toImageConfig } from './image-config.ts';
import { namesOf } from './image-names.ts';

const MAX_TEXT_BYTES = 64 << 10;

/** `POST /commit`: an image of what a container has written over its own. @returns the image's id */
export async function commitContainer(room: FilesRoom, { query, incoming, signal }: DockerRequest): Promise<string> {
  const body = await readJson(incoming);
  const container = room.find(query.get('container') ?? '');
  const names = namesOf(query);
  const [author, comment] = [textOf(query, 'author'), textOf(query, 'comment')];
  const base = await room.images.inspect(container.engine.imageId);
  const asked = isObject(body) && Object.keys(body).length > 0 ? (decodeFields(body, CONFIG, 'Config') as Partial<Config>) : {};
  const config = planCommitConfig(container, asked, query.getAll('changes'));
  using lease = room.images.content.lease();
  const commitLayer = async () => {
    const { directory, isWhole, layers } = room.engine.rootfsParts(container.id);
    const owners = container.sandbox?.config.userNamespace;
    return await room.images.commitLayer(directory, {
      lease,
      signal,
      mountPoints: MOUNT_POINTS,
      ...(isWhole ? { layers } : {}),
      ...(owners ? { owners } : {}),
    });
  };
  const isPaused = flagOf(query, 'pause', true);
  // Of one that never ran, nothing is there before it is mounted.
  const layer = await room.engine.withRootfs(container.id, () => whilePaused(room, container, isPaused, commitLayer));
  const created = new Date(room.clock.now()).toISOString();
  const isEmpty = layer.entries === 0;
  const document: ImageConfig = {
    ...base.config,
    created,
    ...(author ? { author } : {}),
    config: toImageConfig(config),
    rootfs: { type: 'layers', diff_ids: [...base.config.rootfs.diff_ids, ...(isEmpty ? [] : [layer.diffId])] },
    history: [
      ...(base.config.history ?? base.config.rootfs.diff_ids.map(() => ({ created_by: '' }))),
      {
        created,
        created_by: (container.data.config.Cmd ?? []).join(' '),
        ...(author ? { author } : {}),
        ...(comment ? { comment } : {}),
        ...(isEmpty ? { empty_layer: true } : {}),
      },
    ],
  };
  const below = await layersOf(room, base.manifestDigest);
  const layers = isEmpty ? below : [...below, toLayerDescriptor(layer)];
  const image = await composeImage(room.images.content, { config: document, layers, names, lease });
  const [record] = await room.images.adopt([image], { unpack: false });
  const id = record!.id;
  // Beside the answer; whoever runs it at once waits for the same, and hears of a failure.
  room.images.ensureUnpacked(id).catch(() => {});
  room.tellImage('create', id, id);
  room.tell(container, 'commit', { comment, imageID: id, imageRef: names.map(toFamiliarName).join(',') });
  for (const name of names) room.tellImage('tag', id, toFamiliarName(name));
  return id;
}

/** Processes stand still meanwhile, unless the client wants otherwise or somebody else has paused them. */
async function whilePaused<T>({ engine }: FilesRoom, { id }: DockerContainer, pauses: boolean, work: () => Promise<T>): Promise<T> {
  const now = engine.container(id);
  if (!pauses || now?.state !== 'running' || now.isPaused) return await work();
  try {
    await engine.pauseContainer(id, { isHeld: true });
  } catch (error) {
    // It has ended meanwhile: nothing moves any more.
    if (engine.container(id)?.state === 'running') throw error;
    return await work();
  }
  try {
    return await work();
  } finally {
    if (engine.container(id)?.isPaused) await engine.unpauseContainer(id);
  }
}

/** The client's configuration, or the container's, after the instructions; what it leaves open is the container's. */
function planCommitConfig({ id, data }: DockerContainer, asked: Partial<Config>, instructions: readonly string[]): Config {
  const own = Object.keys(asked).length > 0 ? asked : data.config;
  const changed = { ...own, ...applyInstructions(toImageConfig(own), instructions) };
  return planConfig(changed, toImageConfig(data.config), id);
}

async function layersOf({ images }: FilesRoom, manifestDigest: Descriptor['digest']): Promise<Descriptor[]> {
  const what = `manifest ${manifestDigest}`;
  const parsed = parseManifestOrIndex(await images.content.readDocument(manifestDigest, what), what);
  if (parsed.kind === 'manifest') return parsed.manifest.layers;
  throw new UmiakError('InternalError', `${what} is not an image's`);
}

function textOf(query: URLSearchParams, key: string): string {
  const text = query.get(key) ?? '';
  if (Buffer.byteLength(text) <= MAX_TEXT_BYTES) return text;
  throw new UmiakError('BadRequest', `${key} is longer than ${MAX_TEXT_BYTES} bytes`);
}
