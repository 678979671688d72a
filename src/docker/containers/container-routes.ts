import { UmiakError } from '#base/errors.ts';
import { parseFilters } from '../filters.ts';
import { type DockerRequest, flagOf, type Route, sendJson } from '../request.ts';
import { readJsonBody } from './body.ts';
import type { CreateBody } from './config.ts';
import { CREATE, UPDATE } from './config-table.ts';
import { LIST_FILTERS, PRUNE_FILTERS, planPruneFilter } from './container-filters.ts';
import type { StopOptions } from './container-runs.ts';
import type { Containers } from './containers.ts';
import { inspectContainer } from './inspection.ts';
import { listContainers } from './listing.ts';
import { parseCondition } from './waits.ts';

/** Docker's calls on containers but what streams and files have. */
export const containerRoutes: readonly Route[] = [
  ['GET', /^\/containers\/json$/, list],
  ['POST', /^\/containers\/create$/, create, { readsBody: true }],
  ['POST', /^\/containers\/prune$/, prune],
  ['GET', /^\/containers\/(.+)\/json$/, inspect],
  ['GET', /^\/containers\/([^/]+)\/top$/, top],
  ['GET', /^\/containers\/([^/]+)\/stats$/, stats],
  ['POST', /^\/containers\/([^/]+)\/start$/, start],
  ['POST', /^\/containers\/([^/]+)\/stop$/, stop],
  ['POST', /^\/containers\/([^/]+)\/restart$/, restart],
  ['POST', /^\/containers\/([^/]+)\/kill$/, kill],
  ['POST', /^\/containers\/([^/]+)\/pause$/, pause],
  ['POST', /^\/containers\/([^/]+)\/unpause$/, unpause],
  ['POST', /^\/containers\/([^/]+)\/wait$/, wait],
  ['POST', /^\/containers\/([^/]+)\/rename$/, rename],
  ['POST', /^\/containers\/([^/]+)\/update$/, update, { readsBody: true }],
  ['DELETE', /^\/containers\/(.+)$/, remove],
];

/** @throws NotImplemented where this agent has no containers */
export function containersOf({ context }: DockerRequest): Containers {
  if (context.containers) return context.containers;
  throw new UmiakError('NotImplemented', 'there are no containers behind this socket');
}

async function list(request: DockerRequest): Promise<void> {
  const { query, response, apiMinor, context } = request;
  const limit = query.get('limit');
  sendJson(
    response,
    200,
    await listContainers(containersOf(request), {
      all: flagOf(query, 'all'),
      limit: limit ? toInteger('limit', limit) : -1,
      size: flagOf(query, 'size'),
      filters: parseFilters(query.get('filters'), LIST_FILTERS),
      images: context.images,
      nowMs: context.clock.now(),
      apiMinor,
    }),
  );
}

async function create(request: DockerRequest): Promise<void> {
  const { query, incoming, response, apiMinor } = request;
  const platform = query.get('platform');
  const body = await readJsonBody(incoming, CREATE, 'ContainerConfigWrapper');
  if (!body || Object.keys(body).length === 0)
    throw new UmiakError('BadRequest', 'config cannot be empty in order to create a container: it names no Image');
  const { id, warnings } = await containersOf(request).create(body as CreateBody, {
    name: query.get('name') ?? undefined,
    platform: platform || undefined,
    apiMinor,
  });
  sendJson(response, 201, { Id: id, Warnings: warnings });
}

async function inspect(request: DockerRequest): Promise<void> {
  const { name, query, response, apiMinor, context } = request;
  sendJson(
    response,
    200,
    await inspectContainer(containersOf(request), name, { size: flagOf(query, 'size'), images: context.images, apiMinor }),
  );
}

async function start(request: DockerRequest): Promise<void> {
  const containers = containersOf(request);
  const started = await containers.runs.start(containers.find(request.name).id);
  done(request, started);
}

async function stop(request: DockerRequest): Promise<void> {
  const containers = containersOf(request);
  done(request, await containers.stop(containers.find(request.name).id, stopOptions(request)));
}

async function restart(request: DockerRequest): Promise<void> {
  const containers = containersOf(request);
  await containers.runs.restart(containers.find(request.name).id, stopOptions(request));
  done(request);
}

function stopOptions({ query, apiMinor }: DockerRequest): StopOptions {
  const t = query.get('t');
  const signal = apiMinor >= 42 ? query.get('signal') : undefined;
  return { seconds: t ? toInteger('t', t) : undefined, signal: signal || undefined };
}

async function kill(request: DockerRequest): Promise<void> {
  const containers = containersOf(request);
  await containers.runs.kill(containers.find(request.name).id, request.query.get('signal') || 'SIGKILL', request.name);
  done(request);
}

async function pause(request: DockerRequest): Promise<void> {
  const containers = containersOf(request);
  await containers.runs.pause(containers.find(request.name).id);
  done(request);
}

async function unpause(request: DockerRequest): Promise<void> {
  const containers = containersOf(request);
  await containers.runs.unpause(containers.find(request.name).id);
  done(request);
}

/** Its head goes at once: a client starts the container when it knows that somebody waits. */
async function wait(request: DockerRequest): Promise<void> {
  const { name, query, response, signal, apiMinor } = request;
  const containers = containersOf(request);
  const condition = apiMinor < 30 ? 'not-running' : parseCondition(query.get('condition'));
  const { id } = containers.find(name);
  const ended = containers.wait(id, condition, signal);
  response.writeHead(200, { 'content-type': 'application/json' });
  response.flushHeaders();
  const StatusCode = await ended;
  response.end(`${JSON.stringify({ StatusCode })}\n`);
}

async function rename(request: DockerRequest): Promise<void> {
  await containersOf(request).rename(request.name, request.query.get('name') ?? '');
  done(request);
}

async function update(request: DockerRequest): Promise<void> {
  const containers = containersOf(request);
  const body = (await readJsonBody(request.incoming, UPDATE, 'UpdateConfig')) ?? {};
  if (request.apiMinor < 40) delete body.PidsLimit;
  const { id } = containers.find(request.name);
  const { updateContainer } = await import('./update.ts');
  sendJson(request.response, 200, { Warnings: await updateContainer(containers, id, body) });
}

async function remove(request: DockerRequest): Promise<void> {
  const { name, query } = request;
  if (flagOf(query, 'link')) await containersOf(request).removeLink(name);
  else await containersOf(request).remove(name, { force: flagOf(query, 'force'), volumes: flagOf(query, 'v') });
  done(request);
}

async function prune(request: DockerRequest): Promise<void> {
  const { query, context, response } = request;
  const passes = planPruneFilter(parseFilters(query.get('filters'), PRUNE_FILTERS), context.clock.now());
  const { pruneContainers } = await import('./prune.ts');
  sendJson(response, 200, await pruneContainers(containersOf(request), passes, context.events));
}

async function top(request: DockerRequest): Promise<void> {
  const containers = containersOf(request);
  const { listProcesses } = await import('./top.ts');
  sendJson(request.response, 200, await listProcesses(containers, request.name, request.query.get('ps_args') || '-ef'));
}

async function stats(request: DockerRequest): Promise<void> {
  const { streamStats } = await import('./stats.ts');
  await streamStats(containersOf(request), request);
}

function done({ response }: DockerRequest, isChanged = true): void {
  response.writeHead(isChanged ? 204 : 304).end();
}

function toInteger(name: string, text: string): number {
  if (!/^[+-]?\d{1,9}$/.test(text))
    throw new UmiakError('BadRequest', `strconv.Atoi: parsing ${JSON.stringify(text.slice(0, 32))}: ${name} must be a whole number`);
  return Number(text);
}
