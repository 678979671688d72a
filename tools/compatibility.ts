/** Keeps the table of resources in COMPATIBILITY.md equal to what the kinds say (`node tools/compatibility.ts`; a test compares). */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { builtinKinds } from '#kinds/registry.ts';

const PAGE = join(import.meta.dirname, '../COMPATIBILITY.md');
const BEGIN = '<!-- resources: made by tools/compatibility.ts -->\n';
const END = '<!-- end of resources -->\n';

/** The page with its table made anew. @throws when the marks are gone. */
export function withResourceTable(page: string): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error('COMPATIBILITY.md has lost the marks around its table of resources');
  const rows = builtinKinds.map(({ resource: { group, version, plural }, virtual, refused, unattended }) => {
    const how = refused ? 'refused (501)' : virtual ? 'computed, never stored' : unattended ? 'stored, with a warning' : 'served';
    return `| ${group ? `${group}/${version}` : version} | ${plural} | ${how} | ${refused ?? unattended ?? ''} |\n`;
  });
  return `${page.slice(0, begin + BEGIN.length)}| API | resource | | why |\n|---|---|---|---|\n${rows.join('')}${page.slice(end)}`;
}

/** The page as it stands. */
export function readPage(): string {
  return readFileSync(PAGE, 'utf8');
}

if (import.meta.main) writeFileSync(PAGE, withResourceTable(readPage()));
