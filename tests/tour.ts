/** One block of the tour in README.md: what is typed, and what it must show. */
export interface TourBlock {
  script: string;
  /** From the `text` fence right below; `…` stands for anything, runs of spaces for one. Such a block only looks, and may be run again. */
  shows: string | undefined;
}

const TOUR = /<!-- tour:[^>]*-->\n([\s\S]*?)<!-- end of tour -->/;
const FENCE = /^```(sh|text)\n([\s\S]*?)^```$/gm;

/** The tour's blocks in order. @throws when the marks are gone, or an output stands below no block */
export function readTour(page: string): TourBlock[] {
  const tour = TOUR.exec(page)?.[1];
  if (tour === undefined) throw new Error('README.md has lost the marks around its tour');
  const blocks: TourBlock[] = [];
  for (const [, language, text = ''] of tour.matchAll(FENCE)) {
    if (language === 'sh') {
      blocks.push({ script: text, shows: undefined });
      continue;
    }
    const above = blocks.at(-1);
    if (!above || above.shows !== undefined) throw new Error(`this output stands below no block: ${text}`);
    above.shows = text;
  }
  return blocks;
}

/** Whether `output` is what the page shows. */
export function matchesShown(shows: string, output: string): boolean {
  const pattern = squeeze(shows)
    .split('…')
    .map(part => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('[\\s\\S]*?');
  return new RegExp(`^${pattern}$`).test(squeeze(output));
}

function squeeze(text: string): string {
  return text.replace(/[ \t]+/g, ' ').trim();
}
