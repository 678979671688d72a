import { UmiakError } from '#base/errors.ts';
import type { DockerRequest, Route } from '../request.ts';
import type { DockerStreams } from './docker-streams.ts';

/** What streams in and out of containers. */
export const streamRoutes: readonly Route[] = [
  ['POST', /^\/containers\/([^/]+)\/attach$/, request => streamsOf(request).attach(request), { hijacks: true }],
  ['GET', /^\/containers\/([^/]+)\/attach\/ws$/, request => streamsOf(request).attachWebSocket(request), { hijacks: true }],
  ['GET', /^\/containers\/([^/]+)\/logs$/, request => streamsOf(request).logs(request)],
  ['POST', /^\/containers\/([^/]+)\/resize$/, request => streamsOf(request).resize(request)],
  ['POST', /^\/containers\/([^/]+)\/exec$/, request => streamsOf(request).execs.create(request), { readsBody: true }],
  ['POST', /^\/exec\/([^/]+)\/start$/, request => streamsOf(request).execs.start(request), { hijacks: true }],
  ['POST', /^\/exec\/([^/]+)\/resize$/, request => streamsOf(request).execs.resize(request)],
  ['GET', /^\/exec\/([^/]+)\/json$/, request => streamsOf(request).execs.inspect(request)],
];

function streamsOf({ context: { streams } }: DockerRequest): DockerStreams {
  if (!streams) throw new UmiakError('ServiceUnavailable', 'there are no containers here');
  return streams;
}
