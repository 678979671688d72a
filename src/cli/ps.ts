import { Pod } from '#kinds/pod.ts';
import { summarizePod } from '#kinds/pod-columns.ts';
import type { Cluster } from './cluster.ts';
import { type OutputForm, painter, printJson, type Streams, toAge, toTable } from './terminal.ts';

/** `umiak ps`: all pods with their containers; of one namespace when it is given. */
export async function listPods(
  { client }: Cluster,
  streams: Streams,
  { form, namespace, nowMs }: { form: OutputForm; namespace?: string | undefined; nowMs: number },
): Promise<void> {
  const { items } = await client.list(Pod, { namespace });
  items.sort((a, b) => keyOf(a).localeCompare(keyOf(b)));
  if (form === 'json') return printJson(streams, { apiVersion: 'v1', kind: 'PodList', items });
  if (items.length === 0) {
    streams.stderr.write(namespace ? `there are no pods in namespace ${namespace}\n` : 'there are no pods\n');
    return;
  }
  const table = toTable(
    ['NAMESPACE', 'POD', 'READY', 'STATUS', 'RESTARTS', 'AGE', 'ADDRESS', 'CONTAINERS'],
    items.map(pod => rowOf(pod, nowMs)),
  );
  streams.stdout.write(coloured(table, items, streams));
}

function keyOf({ metadata }: Pod): string {
  return `${metadata.namespace}/${metadata.name}`;
}

function rowOf(pod: Pod, nowMs: number): string[] {
  const { ready, total, status, restarts } = summarizePod(pod);
  const { namespace = '', name, creationTimestamp } = pod.metadata;
  const containers = pod.spec.containers.map(container => `${container.name} (${container.image})`).join(', ');
  const age = toAge(nowMs - Date.parse(creationTimestamp ?? ''));
  return [namespace, name, `${ready}/${total}`, status, String(restarts), age, pod.status?.podIP ?? '', containers];
}

/** Rows of pods that need somebody's eye are yellow, failed ones red. */
function coloured(table: string, pods: readonly Pod[], { stdout, env }: Streams): string {
  const paint = painter(stdout, env);
  const [header = '', ...lines] = table.trimEnd().split('\n');
  const painted = lines.map((line, i) => {
    const pod = pods[i];
    if (!pod) return line;
    const { ready, total, status } = summarizePod(pod);
    if (pod.status?.phase === 'Failed' || /Error|BackOff|OOMKilled/.test(status)) return paint('red', line);
    return ready < total && pod.status?.phase !== 'Succeeded' ? paint('yellow', line) : line;
  });
  return `${[paint('bold', header), ...painted].join('\n')}\n`;
}
