/**
 * What people wait for at the docker command, beside dockerd in the same run: `docker run`, many at once, `compose up`, builds again.
 * `bench/docker-data.ts` has what moves gigabytes, `bench/docker-many.ts` what has many containers.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { alternate, type Subject, startDockerPair } from './subject/docker-pair.ts';
import { quantile, type Row, report } from './table.ts';

const RUNS = 25;
const API_RUNS = 150;
const BATCH = 50;
const AT_ONCE = 8;
/** Docker Engine 29's on a like machine, where no dockerd is here. */
const RECORDED = { none: 133, bridge: 195, perSecond: 8, changed: 440, unchanged: 70 };

await using pair = await startDockerPair();
const { ours, all, directory } = pair;

for (const network of ['none', 'bridge'] as const) {
  const [mine = [], theirs] = await alternate(all, RUNS, each => each.docker('run', '--rm', '--network', network, 'busybox', 'true'));
  ratio(`docker run --rm true, network ${network}, p50`, mine, theirs, 3, RECORDED[network]);
  console.log(
    `network ${network}: p95 ${quantile(mine, 0.95).toFixed(0)} ms, theirs ${theirs ? quantile(theirs, 0.95).toFixed(0) : '-'} ms`,
  );
}

for (const network of ['none', 'bridge'] as const) {
  const times: number[] = [];
  for (let i = -5; i < API_RUNS; i++) {
    const began = performance.now();
    await cycle(ours, network);
    if (i >= 0) times.push(performance.now() - began);
  }
  const row = { unit: 'ms', better: 'less' } as const;
  report({
    what: `the daemon's own part of it, network ${network}: create, start, end, removed, p99`,
    ...row,
    target: 60,
    ours: quantile(times, 0.99),
  });
  report({ what: `the same, p50`, ...row, ours: quantile(times, 0.5) });
}

{
  const rates: number[] = [];
  for (const subject of all) {
    const began = performance.now();
    let started = 0;
    const worker = async () => {
      while (started++ < BATCH) await subject.docker('run', '--rm', 'busybox', 'true');
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    rates.push((BATCH * 1000) / (performance.now() - began));
  }
  const [mine = 0, theirs] = rates;
  const peer =
    theirs === undefined
      ? { name: 'Docker 29', value: RECORDED.perSecond, measured: false }
      : { name: pair.theirs?.name ?? '', value: theirs, measured: true };
  report({ what: `${BATCH} docker run --rm, ${AT_ONCE} at a time`, unit: '/s', better: 'more', target: 6 * peer.value, ours: mine, peer });
}

{
  const project = join(directory, 'compose.yaml');
  const service = (index: number) =>
    `  s${index}: { image: busybox, command: sleep 1000, stop_grace_period: 0s${index > 0 ? ', depends_on: [s0]' : ''} }\n`;
  writeFileSync(project, `services:\n${Array.from({ length: 6 }, (_, index) => service(index)).join('')}`);
  const compose = (subject: Subject, ...args: string[]) => subject.docker('compose', '-p', 'six', '-f', project, ...args);
  const times = all.map((): number[] => []);
  for (let round = -1; round < 5; round++)
    for (const [index, subject] of all.entries()) {
      const began = performance.now();
      await compose(subject, 'up', '-d');
      if (round >= 0) times[index]?.push(performance.now() - began);
      await compose(subject, 'down', '-t', '0');
    }
  ratio('docker compose up of 6 services, p50', times[0] ?? [], times[1], 2);
}

{
  const context = join(directory, 'context');
  mkdirSync(context);
  const lines = [
    'FROM busybox',
    'COPY libraries /libraries',
    'RUN mkdir -p /app && cp /libraries /app/',
    'COPY source /app/source',
    'RUN cat /app/source /app/libraries > /app/made',
    'CMD ["true"]',
  ];
  writeFileSync(join(context, 'Dockerfile'), `${lines.join('\n')}\n`);
  writeFileSync(join(context, 'libraries'), Buffer.alloc(5 << 20, 'library '));
  writeFileSync(join(context, 'source'), 'one');
  const build = (subject: Subject) => subject.docker('build', '-q', '-t', 'app', context);
  const same = await alternate(all, 10, build);
  ratio('docker build, nothing changed, p50', same[0] ?? [], same[1], undefined, RECORDED.unchanged, 50);
  let change = 0;
  const changed = await alternate(all, 7, (subject, round) => {
    // Once for both: the first of a round changes it.
    if (subject === ours) writeFileSync(join(context, 'source'), `changed ${round} ${change++}`);
    return build(subject);
  });
  ratio('docker build, one source line changed, p50', changed[0] ?? [], changed[1], 3, RECORDED.changed);
}

report({
  what: 'longest pause of the event loop in all of this',
  unit: 'ms',
  better: 'less',
  target: 20,
  ours: (await ours.longestPauseMs()) ?? 0,
});

/** Says a p50, and that it must be so many times less than the peer's, or less than `target`. */
function ratio(
  what: string,
  mine: readonly number[],
  theirs: readonly number[] | undefined,
  times?: number,
  recorded?: number,
  target?: number,
): void {
  const value = theirs ? quantile(theirs, 0.5) : recorded;
  const peer =
    value === undefined ? {} : { peer: { name: theirs ? (pair.theirs?.name ?? '') : 'Docker 29', value, measured: theirs !== undefined } };
  const must = target ?? (value !== undefined && times ? value / times : undefined);
  const row: Row = {
    what,
    unit: 'ms',
    better: 'less',
    ours: quantile(mine, 0.5),
    ...peer,
    ...(must === undefined ? {} : { target: must }),
  };
  report(row);
}

/** One container from nothing to nothing by the API, as `docker run --rm` asks for it. */
async function cycle(subject: Subject, network: string): Promise<void> {
  const config = { Image: 'busybox', Cmd: ['true'], HostConfig: { AutoRemove: true, NetworkMode: network } };
  const { Id } = JSON.parse(await subject.call('POST', '/containers/create', config)) as { Id: string };
  const removed = subject.call('POST', `/containers/${Id}/wait?condition=removed`);
  await subject.call('POST', `/containers/${Id}/start`);
  await removed;
}
