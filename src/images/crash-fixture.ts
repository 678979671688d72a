import { silentLog } from '#base/log.ts';
import { buildImage, buildLayout, buildTar, inPieces } from './fixtures.ts';
import { openImages } from './images.ts';

/** The layer with which `crash.root.test.ts` compares what it finds. */
export function crashLayer(i: number): Buffer {
  return buildTar([
    { name: `only-${i}`, content: `${i}`.repeat(20_000) },
    ...Array.from({ length: 20 }, (_, at) => ({ name: `dir/${at}`, content: `${i}` })),
  ]);
}

/** Loads, names and removes images until it is killed, saying on stdout what was promised. */
async function load(dataDir: string, start: number): Promise<void> {
  await using images = await openImages({ dataDir, log: silentLog });
  for (let i = start; ; i++) {
    await images.load(inPieces(buildLayout(buildImage([crashLayer(i), crashLayer(-1)]), `app:${i}`)));
    await images.tag(`app:${i}`, `moving:latest`);
    process.stdout.write(`+${i}\n`);
    if (i % 3 !== 2 || i - 2 < start) continue;
    process.stdout.write(`?${i - 2}\n`);
    await images.remove(`app:${i - 2}`);
    process.stdout.write(`-${i - 2}\n`);
  }
}

/** So many images the registry of the test has, as `<host>/app:<i>`. */
export const crashImages = 6;

/** Pulls, pins, pushes, prunes and removes until it is killed. What is promised is said after, what is at risk before. */
async function transfer(dataDir: string, start: number, host: string): Promise<void> {
  await using images = await openImages({ dataDir, log: silentLog });
  for (let i = start; ; i++) {
    const name = `${host}/app:${i % crashImages}`;
    await images.pull(name);
    await images.pin(name);
    process.stdout.write(`+${i % crashImages}\n`);
    await images.tag(name, `${host}/copy:${i}`);
    await images.push(`${host}/copy:${i}`);
    process.stdout.write(`>${i}\n`);
    await images.remove(`${host}/copy:${i}`);
    const gone = (i + 2) % crashImages;
    process.stdout.write(`?${gone}\n`);
    await images.remove(`${host}/app:${gone}`, { force: true }).catch(() => {});
    await images.prune();
    process.stdout.write(`-${gone}\n`);
  }
}

const [dataDir, start, host] = process.argv.slice(2);
if (import.meta.main && dataDir !== undefined)
  await (host === undefined ? load(dataDir, Number(start)) : transfer(dataDir, Number(start), host));
