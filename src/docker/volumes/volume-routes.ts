import { UmiakError } from '#base/errors.ts';
import { type DockerContext, type DockerRequest, flagOf, type Route, readJson, sendJson } from '../request.ts';
import type { DockerVolumes } from './docker-volumes.ts';
import { parseVolumeWishes, planPruneFilter, planVolumeFilter, toVolume } from './volume-forms.ts';

/** Docker's volume calls. */
export const volumeRoutes: readonly Route[] = [
  ['GET', /^\/volumes$/, list],
  ['POST', /^\/volumes\/create$/, create, { readsBody: true }],
  ['POST', /^\/volumes\/prune$/, prune],
  ['GET', /^\/volumes\/([^/]+)$/, inspect],
  ['DELETE', /^\/volumes\/([^/]+)$/, remove],
];

function list({ context, query, response }: DockerRequest): void {
  const volumes = roomOf(context);
  const users = volumes.allUsers();
  const passes = planVolumeFilter(query.get('filters'), name => users.has(name));
  const found = volumes.list().filter(passes);
  sendJson(response, 200, { Volumes: found.map(record => toVolume(record, volumes.mountpointOf(record.name))), Warnings: null });
}

async function create({ context, incoming, response }: DockerRequest): Promise<void> {
  const volumes = roomOf(context);
  const record = await volumes.create(parseVolumeWishes(await readJson(incoming)));
  sendJson(response, 201, toVolume(record, volumes.mountpointOf(record.name)));
}

function inspect({ context, name, response }: DockerRequest): void {
  const volumes = roomOf(context);
  sendJson(response, 200, toVolume(volumes.inspect(name), volumes.mountpointOf(name)));
}

async function remove({ context, name, query, response }: DockerRequest): Promise<void> {
  await roomOf(context).remove(name, { force: flagOf(query, 'force') });
  response.writeHead(204).end();
}

async function prune({ context, query, response, apiMinor }: DockerRequest): Promise<void> {
  const { removed, freedBytes } = await roomOf(context).prune(planPruneFilter(query.get('filters'), apiMinor));
  sendJson(response, 200, { VolumesDeleted: removed, SpaceReclaimed: freedBytes });
}

function roomOf({ volumes }: DockerContext): DockerVolumes {
  if (volumes) return volumes;
  throw new UmiakError('NotImplemented', 'there are no volumes where no containers are');
}
