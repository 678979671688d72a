import { messageOf } from '#base/errors.ts';
import { Node } from '#kinds/node.ts';
import { Pod } from '#kinds/pod.ts';
import { summarizePod } from '#kinds/pod-columns.ts';
import type { Cluster } from './cluster.ts';
import { type OutputForm, painter, printJson, type Streams } from './terminal.ts';

/** What a process of the instance says of itself on its control socket. */
export interface ProcessReport {
  role: string;
  pid: number;
  version: string;
  state: string;
  details?: Record<string, unknown>;
}

export interface StatusQuestion {
  instance: string;
  places: { dataDir: string; runDir: string; kubeconfig: string; dockerSocket: string; api: string };
  /** Absent: the process does not run. */
  server: ProcessReport | undefined;
  agent: ProcessReport | undefined;
  /** Called only when a server runs. */
  connect: () => Promise<Cluster>;
}

interface Status {
  instance: string;
  isRunning: boolean;
  server: ProcessReport | null;
  agent: ProcessReport | null;
  nodes: { name: string; isReady: boolean; address: string; why?: string }[];
  pods: { total: number; ready: number; waiting: number };
  /** Why the cluster could not be asked. */
  problem?: string;
  addresses: { api: string; docker: string; kubeconfig: string; data: string };
}

/** `umiak status`: what runs, where it is reached. @returns 0 when all of it is ready, else 1 */
export async function printStatus(streams: Streams, form: OutputForm, question: StatusQuestion): Promise<number> {
  const status = await readStatus(question);
  if (form === 'json') printJson(streams, status);
  else streams.stdout.write(describeStatus(status, streams));
  return status.isRunning ? 0 : 1;
}

async function readStatus({ instance, places, server, agent, connect }: StatusQuestion): Promise<Status> {
  const cluster = server?.state === 'ready' ? await readCluster(connect) : { nodes: [], pods: { total: 0, ready: 0, waiting: 0 } };
  return {
    instance,
    isRunning: server?.state === 'ready' && agent?.state === 'ready' && cluster.nodes.some(({ isReady }) => isReady),
    server: server ?? null,
    agent: agent ?? null,
    ...cluster,
    addresses: {
      api: `https://${places.api}`,
      docker: `unix://${places.dockerSocket}`,
      kubeconfig: places.kubeconfig,
      data: places.dataDir,
    },
  };
}

async function readCluster(connect: () => Promise<Cluster>): Promise<Pick<Status, 'nodes' | 'pods' | 'problem'>> {
  try {
    await using cluster = await connect();
    const [nodes, pods] = await Promise.all([cluster.client.list(Node), cluster.client.list(Pod)]);
    const living = pods.items.filter(({ status }) => status?.phase !== 'Succeeded' && status?.phase !== 'Failed');
    const ready = living.map(summarizePod).filter(({ ready: its, total }) => its === total).length;
    return {
      nodes: nodes.items.map(toNodeLine),
      pods: { total: pods.items.length, ready, waiting: living.length - ready },
    };
  } catch (error) {
    return { nodes: [], pods: { total: 0, ready: 0, waiting: 0 }, problem: messageOf(error) };
  }
}

function toNodeLine({ metadata, status }: Node): Status['nodes'][number] {
  const condition = status?.conditions?.find(({ type }) => type === 'Ready');
  const isReady = condition?.status === 'True';
  return {
    name: metadata.name,
    isReady,
    address: status?.addresses?.find(({ type }) => type === 'InternalIP')?.address ?? '',
    ...(isReady ? {} : { why: condition?.message ?? 'it has not said yet that it is ready' }),
  };
}

/** Only where something is missing: what falls back works. */
function doctorLine(agent: ProcessReport | null, paint: ReturnType<typeof painter>): [string, string][] {
  const { missing = 0 } = (agent?.details?.doctor ?? {}) as { missing?: number };
  return missing > 0 ? [['machine', paint('red', `${missing} things are missing: see umiak doctor`)]] : [];
}

function describeStatus(status: Status, { stdout, env }: Streams): string {
  const paint = painter(stdout, env);
  const { instance, server, agent, nodes, pods, problem, addresses } = status;
  const process = (report: ProcessReport | null) =>
    report === null
      ? paint('red', 'not running')
      : `${report.state === 'ready' ? paint('green', 'ready') : paint('yellow', report.state)} (pid ${report.pid}, version ${report.version})`;
  const lines: [string, string][] = [
    ['instance', instance],
    ['server', process(server)],
    ['agent', process(agent)],
    ...doctorLine(agent, paint),
    ...(problem ? [['problem', paint('red', problem)] as [string, string]] : []),
    ...nodes.map(({ name, isReady, address, why }): [string, string] => [
      'node',
      `${name} ${isReady ? paint('green', 'Ready') : paint('red', 'not Ready')}${address ? ` (${address})` : ''}${why ? `: ${why}` : ''}`,
    ]),
    ...(server
      ? [
          ['pods', `${pods.total}: ${pods.ready} ready${pods.waiting > 0 ? paint('yellow', `, ${pods.waiting} not ready`) : ''}`] as [
            string,
            string,
          ],
        ]
      : []),
    ['api', addresses.api],
    ['docker', addresses.docker],
    ['kubeconfig', addresses.kubeconfig],
    ['data', addresses.data],
    ...(server && agent ? [] : [['', 'Start it: umiak up'] as [string, string]]),
  ];
  return lines.map(([name, text]) => `${name.padEnd(11)} ${text}\n`).join('');
}
