import { silentLog } from '#base/log.ts';
import { buildImage, buildLayout, buildTar, inPieces } from './fixtures.ts';
import { openImages } from './images.ts';

/** The layer with which `crash.test.ts` compares what it finds. */
function crashLayer(i: number): Buffer {
  return buildTar([
    { name: `only-${i}`, content: `${i}`.repeat(20_000) },
    ...Array.from({ length: 20 }, (_, at) => ({ name: `dir/${at}`, content: `${i}` })),
  ]);
}

/** Loads, names and removes images until it is killed, saying on stdout what was promised. */
async function run(dataDir: string, start: number): Promise<void> {
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

const [dataDir, start] = process.argv.slice(2);
if (import.meta.main && dataDir !== undefined) await run(dataDir, Number(start));
