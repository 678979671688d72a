import { UmiakError } from '#base/errors.ts';
import { decodeFields, type Fields } from '../containers/decode.ts';
import type { EndpointSettings } from '../containers/forms.ts';
import { type DockerContext, type DockerRequest, flagOf, type Route, readJson, sendJson } from '../request.ts';
import type { DockerNetworks } from './docker-networks.ts';
import { planNetworkFilter, planNetworkPrune } from './network-filters.ts';
import { toNetwork } from './network-forms.ts';
import { parseNetworkWishes } from './plan-network.ts';

/** Docker's network calls. */
export const networkRoutes: readonly Route[] = [
  ['GET', /^\/networks\/?$/, list],
  ['POST', /^\/networks\/create$/, create, { readsBody: true }],
  ['POST', /^\/networks\/prune$/, prune],
  ['GET', /^\/networks\/([^/]+)$/, inspect],
  ['DELETE', /^\/networks\/([^/]+)$/, remove],
  ['POST', /^\/networks\/([^/]+)\/connect$/, connect, { readsBody: true }],
  ['POST', /^\/networks\/([^/]+)\/disconnect$/, disconnect, { readsBody: true }],
];

function list({ context, query, response, apiMinor }: DockerRequest): void {
  const networks = roomOf(context);
  const passes = planNetworkFilter(query.get('filters'), record => networks.isUsed(record));
  const found = networks.list().filter(passes);
  sendJson(
    response,
    200,
    // Long ago a list told of the containers too.
    found.map(record => toNetwork(record, apiMinor < 28 ? networks.book.resources(record.id) : {}, apiMinor)),
  );
}

function inspect({ context, name, query, response, apiMinor }: DockerRequest): void {
  const networks = roomOf(context);
  const record = networks.book.need(name);
  const scope = query.get('scope');
  if (scope && scope !== 'local') throw new UmiakError('NotFound', `network ${name.slice(0, 256)} not found`);
  flagOf(query, 'verbose'); // says more of swarm's networks alone
  sendJson(response, 200, toNetwork(record, networks.book.resources(record.id), apiMinor));
}

async function create({ context, incoming, response }: DockerRequest): Promise<void> {
  const record = await roomOf(context).create(parseNetworkWishes(await readJson(incoming)));
  sendJson(response, 201, { Id: record.id, Warning: '' });
}

async function remove({ context, name, response }: DockerRequest): Promise<void> {
  await roomOf(context).remove(name);
  response.writeHead(204).end();
}

async function prune({ context, query, response }: DockerRequest): Promise<void> {
  const removed = await roomOf(context).prune(planNetworkPrune(query.get('filters'), context.clock.now()));
  sendJson(response, 200, { NetworksDeleted: removed.length > 0 ? removed : null });
}

const ENDPOINT: Fields = {
  IPAMConfig: { fields: { IPv4Address: 'string', IPv6Address: 'string', LinkLocalIPs: { list: 'string' } } },
  Links: { list: 'string' },
  Aliases: { list: 'string' },
  MacAddress: 'string',
  DriverOpts: { map: 'string' },
  GwPriority: 'integer',
};

async function connect({ context, name, incoming, response }: DockerRequest): Promise<void> {
  const body = decodeFields(await readJson(incoming), { Container: 'string', EndpointConfig: { fields: ENDPOINT } }, 'ConnectOptions');
  const { Container = '', EndpointConfig = {} } = body as { Container?: string; EndpointConfig?: Partial<EndpointSettings> };
  await roomOf(context).connect(name, Container, EndpointConfig);
  response.writeHead(200).end();
}

async function disconnect({ context, name, incoming, response }: DockerRequest): Promise<void> {
  const body = decodeFields(await readJson(incoming), { Container: 'string', Force: 'boolean' }, 'DisconnectOptions');
  const { Container = '', Force = false } = body as { Container?: string; Force?: boolean };
  await roomOf(context).disconnect(name, Container, { force: Force });
  response.writeHead(200).end();
}

function roomOf({ networks }: DockerContext): DockerNetworks {
  if (networks) return networks;
  throw new UmiakError('NotImplemented', 'there are no networks where no containers are');
}
