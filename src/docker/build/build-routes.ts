import { UmiakError } from '#base/errors.ts';
import { type DockerContext, type DockerRequest, flagOf, type Route, sendJson } from '../request.ts';
import type { BuildRoom } from './build-room.ts';

/** Docker's build calls; what answers a build is loaded with the first. */
export const buildRoutes: readonly Route[] = [
  ['POST', /^\/build$/, build, { readsBody: true }],
  ['POST', /^\/build\/prune$/, prune],
  ['POST', /^\/build\/cancel$/, cancel],
];

/** The room. @throws NotImplemented where no containers are */
export function buildRoomOf({ builds }: DockerContext): BuildRoom {
  if (!builds) throw new UmiakError('NotImplemented', 'images are not built here');
  return builds;
}

async function build(request: DockerRequest): Promise<void> {
  const room = buildRoomOf(request.context);
  const { answerBuild } = await import('./build-call.ts');
  await answerBuild(request, room);
}

function cancel({ context, query, response }: DockerRequest): void {
  const id = query.get('id') ?? '';
  if (id === '') throw new UmiakError('BadRequest', 'build ID not provided');
  buildRoomOf(context).cancel(id);
  response.writeHead(200).end();
}

async function prune({ context, query, response }: DockerRequest): Promise<void> {
  const { parsePrune } = await import('./plan-prune-query.ts');
  const options = parsePrune(query, context.clock.now());
  const builder = await buildRoomOf(context).builder();
  const { deleted, freedBytes } = await builder.prune({ ...options, all: flagOf(query, 'all') });
  context.events.emit({ type: 'builder', action: 'prune', id: '', attributes: { reclaimed: String(freedBytes) } });
  sendJson(response, 200, { CachesDeleted: deleted, SpaceReclaimed: freedBytes });
}
