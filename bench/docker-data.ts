/** What moves gigabytes through docker's API, beside dockerd in the same run: logs, cp, save and load; memory meanwhile, pauses of the event loop. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type Subject, startDockerPair } from './subject/docker-pair.ts';
import { makeLayeredImage } from './subject/layered-image.ts';
import { report } from './table.ts';

const MEGABYTES = Number(process.env.BENCH_MB) || 1024;
/** What a daemon may grow while data flows through it: its threads and the code for it. */
const FLAT_MB = 20;
/** After so long at rest it has given back what it had for what came before, its threads too. */
const REST_MS = 15_000;

await using pair = await startDockerPair();
const { ours, all, directory } = pair;

interface Measured {
  seconds: number;
  grownMb: number;
  keptMb: number;
  pauseMs: number | undefined;
}

const results = new Map<string, Measured[]>();
for (const subject of all) {
  const script = `yes 0123456789012345678901234567890123456789012345678901234567890 | head -c ${MEGABYTES}m; sleep 1000`;
  await subject.docker('run', '-d', '--name', 'talker', '--network', 'none', 'busybox', 'sh', '-c', script);
  await settled(subject);
  await measure(subject, `docker logs of ${MEGABYTES} MB`, () => shell(subject, 'docker logs talker > /dev/null'));
  await subject.docker('rm', '-f', 'talker');
}

const big = join(directory, 'big');
spawnSync('sh', ['-c', `head -c ${MEGABYTES}m /dev/urandom > ${big}`]);
for (const subject of all) {
  await subject.docker('run', '-d', '--name', 'files', '--network', 'none', 'busybox', 'sleep', '1000');
  await measure(subject, `docker cp of ${MEGABYTES} MB into a container`, () => subject.docker('cp', big, 'files:/big'));
  await measure(subject, `docker cp of ${MEGABYTES} MB out of it`, () => subject.docker('cp', 'files:/big', join(directory, 'back')));
  rmSync(join(directory, 'back'));
  await subject.docker('rm', '-f', 'files');
}
rmSync(big);

const imageDirectory = join(directory, 'image');
mkdirSync(imageDirectory);
const { archive } = await makeLayeredImage(imageDirectory, 'docker.io/library/layered:1');
await ours.docker('load', '-i', archive);
const saved = join(directory, 'saved.tar');
await ours.docker('save', '-o', saved, 'layered:1');
await ours.docker('rmi', 'layered:1');
console.log(`the archive has ${Math.round(statSync(saved).size / 2 ** 20)} MB`);
for (const subject of all) {
  await measure(subject, 'docker load of 283 MB, five layers', () => subject.docker('load', '-i', saved));
  await measure(subject, 'docker save of it', () => subject.docker('save', '-o', join(directory, 'again.tar'), 'layered:1'));
  await subject.docker('rmi', 'layered:1');
}

for (const [what, [mine, theirs]] of results) {
  if (!mine) continue;
  const peer = theirs ? { peer: { name: pair.theirs?.name ?? '', value: theirs.seconds, measured: true }, target: theirs.seconds } : {};
  report({ what, unit: 's', better: 'less', ours: mine.seconds, ...peer });
  report({ what: `${what}: the daemon's memory grew by`, unit: 'MB', better: 'less', target: FLAT_MB, ours: mine.grownMb });
  report({ what: `${what}: of that it still has at rest`, unit: 'MB', better: 'less', target: FLAT_MB / 2, ours: mine.keptMb });
  report({ what: `${what}: longest pause of its event loop`, unit: 'ms', better: 'less', target: 20, ours: mine.pauseMs ?? 0 });
}

async function measure(subject: Subject, what: string, work: () => Promise<unknown>): Promise<void> {
  await pause(REST_MS);
  await subject.longestPauseMs();
  const before = subject.daemonMb();
  let seconds = 0;
  const peak = await subject.peakMb(async () => {
    const began = performance.now();
    await work();
    seconds = (performance.now() - began) / 1000;
  });
  const pauseMs = await subject.longestPauseMs();
  await pause(REST_MS);
  const measured = { seconds, grownMb: Math.max(0, peak - before), keptMb: Math.max(0, subject.daemonMb() - before), pauseMs };
  results.set(what, [...(results.get(what) ?? []), measured]);
  console.log(
    `${subject.name}: ${what}: ${seconds.toFixed(2)} s, +${measured.grownMb.toFixed(0)} MB, then +${measured.keptMb.toFixed(0)} MB, pause ${measured.pauseMs?.toFixed(1) ?? '-'} ms`,
  );
}

/** Waits until the container has said all: its process has become `sleep`. */
async function settled(subject: Subject): Promise<void> {
  while (!(await subject.docker('top', 'talker')).includes('sleep 1000') || (await subject.docker('top', 'talker')).includes('head'))
    await pause(200);
}

/** The client's output goes where a shell sends it, not through this process. */
async function shell(subject: Subject, line: string): Promise<void> {
  const script = join(directory, 'line.sh');
  writeFileSync(script, line);
  await subject.run('sh', script);
}
