/** Many containers, beside dockerd in the same run: `docker stats` of 100, `docker ps` with 500, memory of the daemon at rest and of each container. */
import { setTimeout as pause } from 'node:timers/promises';
import { alternate, type Subject, startDockerPair } from './subject/docker-pair.ts';
import { quantile, report } from './table.ts';

const RUNNING = Number(process.env.BENCH_RUNNING) || 100;
const ALL = RUNNING * 5;
/** Half a minute after its start the agent gives memory back, once. */
const REST_MS = 45_000;

await using pair = await startDockerPair({ probe: false });
const { theirs, all } = pair;

// Something has run, as on any machine of somebody's.
for (const subject of all) await subject.docker('run', '--rm', 'busybox', 'true');
await pause(REST_MS);
const idle = all.map(subject => subject.daemonMb());
peerRow('memory of the idle daemon (PSS; dockerd with its containerd)', 'MB', idle, { target: 90 });

const config = { Image: 'busybox', Cmd: ['sleep', '100000'], HostConfig: { NetworkMode: 'none' } };
for (const subject of all) await fill(subject);
await pause(5_000);
const each = all.map((subject, index) => (subject.daemonMb() - (idle[index] ?? 0) + subject.monitorsMb()) / RUNNING);
peerRow(`memory of a running container, monitor included, of ${RUNNING}`, 'MB', each, { target: 2.5 });

const stats = await alternate(all, 3, subject => subject.docker('stats', '--no-stream'));
const statsMs = stats.map(times => quantile(times, 0.5));
peerRow(`docker stats --no-stream of ${RUNNING} containers, p50`, 'ms', statsMs, { part: 2 });

for (const subject of all) for (let i = RUNNING; i < ALL; i++) await subject.call('POST', `/containers/create?name=many-${i}`, config);
const listed = await alternate(all, 20, subject => subject.docker('ps', '-aq'));
peerRow(
  `docker ps with ${ALL} containers, p50`,
  'ms',
  listed.map(times => quantile(times, 0.5)),
  { target: 30 },
);
const asked = await alternate(all, 20, subject => subject.call('GET', '/containers/json?all=1'));
peerRow(
  `the daemon's own part of it, p50`,
  'ms',
  asked.map(times => quantile(times, 0.5)),
  {},
);

for (const subject of all) {
  const listedIds = JSON.parse(await subject.call('GET', '/containers/json?all=1')) as { Id: string }[];
  for (const { Id } of listedIds) await subject.call('DELETE', `/containers/${Id}?force=1`);
}

async function fill(subject: Subject): Promise<void> {
  for (let i = 0; i < RUNNING; i++) {
    const { Id } = JSON.parse(await subject.call('POST', `/containers/create?name=many-${i}`, config)) as { Id: string };
    await subject.call('POST', `/containers/${Id}/start`);
  }
}

function peerRow(
  what: string,
  unit: string,
  [mine = 0, their]: readonly number[],
  { target, part }: { target?: number; part?: number },
): void {
  const peer = their === undefined ? {} : { peer: { name: theirs?.name ?? '', value: their, measured: true } };
  const must = target ?? (their !== undefined && part ? their / part : undefined);
  report({ what, unit, better: 'less', ours: mine, ...peer, ...(must === undefined ? {} : { target: must }) });
}
