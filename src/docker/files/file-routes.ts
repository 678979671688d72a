import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { UmiakError } from '#base/errors.ts';
import { sendChunks } from '#base/spent.ts';
import type { PathStat } from '#engine/files/index.ts';
import { type DockerContext, type DockerRequest, flagOf, type Route, sendJson } from '../request.ts';
import type { FilesRoom } from './files-room.ts';

/** Docker's calls about containers' files. */
export const fileRoutes: readonly Route[] = [
  ['HEAD', /^\/containers\/([^/]+)\/archive$/, head],
  ['GET', /^\/containers\/([^/]+)\/archive$/, get],
  ['PUT', /^\/containers\/([^/]+)\/archive$/, put, { readsBody: true }],
  ['GET', /^\/containers\/([^/]+)\/changes$/, changes],
  ['GET', /^\/containers\/([^/]+)\/export$/, exportAll],
  ['POST', /^\/commit$/, commit, { readsBody: true }],
];

async function head({ context, name, query, response, signal }: DockerRequest): Promise<void> {
  const room = roomOf(context);
  const path = pathOf(query);
  const container = room.find(name);
  const stat = await room.visit(container, name, path, files => files.stat(container.id, path, { signal }));
  response.writeHead(200, { ...statHeader(stat), 'content-length': 0 }).end();
}

async function get(request: DockerRequest): Promise<void> {
  const { context, name, query, signal } = request;
  const room = roomOf(context);
  const path = pathOf(query);
  const container = room.find(name);
  await room.visit(container, name, path, files =>
    files.archive(container.id, path, { signal }, async (stat, archive) => {
      await sendArchive(request, archive, statHeader(stat));
    }),
  );
  room.tell(container, 'archive-path');
}

async function put({ context, name, query, incoming, response, signal }: DockerRequest): Promise<void> {
  const room = roomOf(context);
  const path = pathOf(query);
  const container = room.find(name);
  const noOverwriteDirNonDir = flagOf(query, 'noOverwriteDirNonDir');
  const user = container.engine.user;
  const owner = flagOf(query, 'copyUIDGID') && user && container.data.config.User ? { owner: { uid: user.uid, gid: user.gid } } : {};
  const source = await archiveOf(incoming, signal);
  await room.visit(container, name, path, files => {
    return files.extract(container.id, path, source, { signal, noOverwriteDirNonDir, ...owner });
  });
  response.writeHead(200, { 'content-length': 0 }).end();
  room.tell(container, 'extract-to-dir');
}

/** The body itself, unless it takes a program to be read. */
async function archiveOf(incoming: IncomingMessage, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  if (!incoming.readableEnded && incoming.readableLength === 0)
    await Promise.race(['readable', 'end', 'close'].map(event => once(incoming, event)));
  const start = incoming.read() as Buffer | null;
  if (start !== null) incoming.unshift(start);
  const [{ detectCompression }, { unpackedByProgram }] = await Promise.all([
    import('#images/decompress.ts'),
    import('#images/decompress-program.ts'),
  ]);
  const compression = start === null ? 'none' : detectCompression(start);
  if (compression !== 'xz' && compression !== 'bzip2') return incoming;
  return unpackedByProgram(incoming.iterator({ destroyOnReturn: false }), 'the archive', signal);
}

async function changes({ context, name, response, signal }: DockerRequest): Promise<void> {
  const room = roomOf(context);
  const { id } = room.find(name);
  const found = await (await room.files()).changes(id, { signal });
  sendJson(response, 200, found.length === 0 ? null : found.map(({ path, kind }) => ({ Path: path, Kind: kind })));
}

async function exportAll(request: DockerRequest): Promise<void> {
  const { context, name, signal } = request;
  const room = roomOf(context);
  const container = room.find(name);
  await (await room.files()).export(container.id, { signal }, archive => sendArchive(request, archive, {}));
  room.tell(container, 'export');
}

async function commit(request: DockerRequest): Promise<void> {
  const { commitContainer } = await import('./commit.ts');
  const id = await commitContainer(roomOf(request.context), request);
  sendJson(request.response, 201, { Id: id });
}

async function sendArchive(
  { response, signal }: DockerRequest,
  archive: AsyncIterable<Buffer>,
  headers: Record<string, string>,
): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/x-tar', ...headers });
  await sendChunks(response, archive, { signal });
  response.end();
}

function statHeader(stat: PathStat): Record<string, string> {
  return { 'x-docker-container-path-stat': Buffer.from(JSON.stringify(stat)).toString('base64') };
}

function pathOf(query: URLSearchParams): string {
  const path = query.get('path');
  if (path) return path;
  throw new UmiakError('BadRequest', "bad parameter: 'path' cannot be empty");
}

function roomOf({ files }: DockerContext): FilesRoom {
  if (files) return files;
  throw new UmiakError('NotImplemented', 'there are no files of containers where no containers are');
}
