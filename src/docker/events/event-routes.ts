import type { ServerResponse } from 'node:http';
import { UmiakError } from '#base/errors.ts';
import type { DockerRequest, Route } from '../request.ts';
import { compareMoments, type Moment, type Recorded, toMilliseconds } from './event.ts';
import { parseEventFilters, parseMoment } from './event-filter.ts';
import type { EventJournal } from './event-journal.ts';

/** `GET /events`. */
export const eventRoutes: readonly Route[] = [['GET', /^\/events$/, events]];

async function events({ context, query, response, signal }: DockerRequest): Promise<void> {
  const { journal } = context;
  if (!journal) throw new UmiakError('NotImplemented', 'no journal of events is kept here');
  const passes = parseEventFilters(query.get('filters'));
  const [since, until] = [parseMoment('since', query.get('since')), parseMoment('until', query.get('until'))];
  if (since && until && compareMoments(until, since) < 0)
    throw new UmiakError('BadRequest', `\`since\` time (${query.get('since')}) cannot be after \`until\` time (${query.get('until')})`);
  response.writeHead(200, { 'content-type': 'application/json' });
  response.flushHeaders();
  await sendEvents(journal, response, { since, until, passes, nowMs: context.clock.now(), after: context.clock.after, signal });
}

interface Asked {
  since: Moment | undefined;
  until: Moment | undefined;
  passes: (event: Recorded) => boolean;
  nowMs: number;
  after: (ms: number, run: () => void) => Disposable;
  signal: AbortSignal;
}

/** First what was, if a time was named, then what comes, until `until` or the client goes; one who reads too slowly is cut off. */
async function sendEvents(
  journal: EventJournal,
  response: ServerResponse,
  { since, until, passes, nowMs, after, signal }: Asked,
): Promise<void> {
  const fits = (event: Recorded) => (!until || compareMoments(event.at, until) <= 0) && passes(event);
  const { promise: over, resolve: finish } = Promise.withResolvers<void>();
  const asksForPast = since !== undefined || until !== undefined;
  const end = journal.end;
  using listener = journal.listen(fits, { write: bytes => response.write(bytes), cut: () => response.destroy() }, { held: asksForPast });
  signal.addEventListener('abort', () => finish(), { once: true });
  const restMs = until ? toMilliseconds(until) - nowMs : undefined;
  using _ = restMs !== undefined && restMs > 0 ? after(restMs, finish) : undefined;
  if (asksForPast) {
    for await (const event of journal.read(since, end)) {
      if (signal.aborted) return;
      if (fits(event) && !response.write(event.line)) await drained(response, signal);
    }
    listener.resume();
  }
  response.on('drain', () => listener.resume());
  if (restMs === undefined || restMs > 0) await over;
  if (!signal.aborted) response.end();
}

function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const done = () => {
      response.off('drain', done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    response.on('drain', done);
    signal.addEventListener('abort', done);
    if (signal.aborted) done();
  });
}
