import { UmiakError } from '#base/errors.ts';
import { sendChunks, spending } from '#base/spent.ts';
import type { DockerRequest } from '../request.ts';
import { planContentType } from './frames.ts';
import { findLogAttributes, toLinePrefix } from './log-attributes.ts';
import { parseLogQuery } from './log-query.ts';
import type { StreamsRoom } from './room.ts';

/** `GET /containers/{id}/logs` */
export async function serveLogs(room: StreamsRoom, { name, query, apiMinor, response, signal }: DockerRequest): Promise<void> {
  const { details, follow = false, ...options } = parseLogQuery(query);
  const container = room.containers.find(name);
  const { id, engine } = container;
  if (engine.config.log === 'none') throw new UmiakError('NotImplemented', 'configured logging driver does not support reading');
  const tty = engine.config.tty ?? false;
  const log = room.engine.logs(id, {
    ...options,
    // What does not run writes nothing more.
    follow: follow && engine.state === 'running',
    signal,
    ...(details ? { linePrefix: toLinePrefix(await findLogAttributes(container)) } : {}),
    ...(tty ? {} : { frames: 'docker' }),
  });
  response.writeHead(200, { 'content-type': planContentType({ tty, apiMinor }) });
  response.flushHeaders();
  try {
    await sendChunks(response, spending(log, { isAlone: true }), { signal });
    response.end();
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
