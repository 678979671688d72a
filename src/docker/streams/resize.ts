import { UmiakError } from '#base/errors.ts';
import type { DockerRequest } from '../request.ts';
import { emitOf, type StreamsRoom } from './room.ts';

/** `POST /containers/{id}/resize` */
export function serveResize(room: StreamsRoom, { name, query, response }: DockerRequest): void {
  const size = readSize(query);
  const container = room.containers.find(name);
  if (container.engine.state !== 'running') throw new UmiakError('Conflict', `container ${container.id} is not running`);
  room.engine.resizeTerminal(container.id, size);
  emitOf(room, container, 'resize', { height: String(size.rows), width: String(size.columns) });
  response.writeHead(200, { 'content-length': 0 }).end();
}

const MAX_UINT32 = 2 ** 32 - 1;

/** `h` and `w` of the query. @throws BadRequest */
export function readSize(query: URLSearchParams): { rows: number; columns: number } {
  return { rows: readOne(query, 'h', 'height'), columns: readOne(query, 'w', 'width') };
}

function readOne(query: URLSearchParams, key: string, what: string): number {
  const value = query.get(key) ?? '';
  const wrong = !/^-?\d{1,32}$/.test(value)
    ? 'invalid syntax'
    : Number(value) < 0 || Number(value) > MAX_UINT32
      ? 'value out of range'
      : undefined;
  if (wrong) throw new UmiakError('BadRequest', `invalid resize ${what} ${JSON.stringify(value.slice(0, 32))}: ${wrong}`);
  return Math.min(Number(value), 65_535);
}
