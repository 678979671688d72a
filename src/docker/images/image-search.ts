import { UmiakError } from '#base/errors.ts';
import { type ImageRecord, toFamiliarName } from '#images/index.ts';
import { type FoundRepository, isUnreachable } from '#images/registry-questions.ts';
import { type Filters, flagFilter } from '../filters.ts';

/** An entry of docker's search. */
export interface SearchResult {
  name: string;
  description: string;
  star_count: number;
  is_official: boolean;
  is_automated: boolean;
}

const HUB = 'docker.io';
const MOST_RESULTS = 100;
const USUAL_RESULTS = 25;

/** Which registry a term names, and what is to be looked for there: `localhost:5000/app`. Pure. */
export function parseSearchTerm(term: string): { registry: string; term: string } {
  const slash = term.indexOf('/');
  const first = term.slice(0, slash);
  const isRegistry = slash > 0 && (/[.:]/.test(first) || first === 'localhost');
  if (!isRegistry) return { registry: HUB, term };
  const registry = first === 'index.docker.io' ? HUB : first;
  return { registry, term: term.slice(slash + 1) };
}

/** @throws BadRequest in docker's words */
export function parseLimit(text: string | null): number {
  if (text === null || text === '' || text === '0') return USUAL_RESULTS;
  const limit = /^-?\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(limit)) throw new UmiakError('BadRequest', `invalid limit specified: ${text.slice(0, 32)}`);
  if (limit < 1 || limit > MOST_RESULTS) throw new UmiakError('BadRequest', `limit ${limit} is outside the range of [1, ${MOST_RESULTS}]`);
  return limit;
}

/** Repositories of this machine whose name has the term in it. Pure. */
export function findHere(records: readonly ImageRecord[], { registry, term }: { registry: string; term: string }): SearchResult[] {
  const names = records.flatMap(({ repoTags }) => repoTags).map(name => name.slice(0, name.lastIndexOf(':')));
  const fitting = [...new Set(names)].filter(name => name.startsWith(`${registry}/`) && name.slice(registry.length + 1).includes(term));
  return fitting.sort().map(name => ({
    name: toFamiliarName(name),
    description: 'on this machine',
    star_count: 0,
    is_official: false,
    is_automated: false,
  }));
}

/** The registry's answers first, then names that only this machine has. Pure. @throws BadRequest for a filter's value */
export function mergeFound(
  remote: readonly FoundRepository[],
  here: readonly SearchResult[],
  filters: Filters,
  limit: number,
): SearchResult[] {
  const isOfficial = flagFilter(filters, 'is-official');
  const isAutomated = flagFilter(filters, 'is-automated');
  const stars = Math.max(0, ...(filters.get('stars') ?? []).map(parseStars));
  const found = remote.map(({ name, description, stars: star_count, isOfficial: is_official, isAutomated: is_automated }) => ({
    name,
    description,
    star_count,
    is_official,
    is_automated,
  }));
  const known = new Set(found.map(({ name }) => name));
  return [...found, ...here.filter(({ name }) => !known.has(name))]
    .filter(each => isOfficial === undefined || each.is_official === isOfficial)
    .filter(each => isAutomated === undefined || each.is_automated === isAutomated)
    .filter(each => each.star_count >= stars)
    .slice(0, limit);
}

function parseStars(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new UmiakError('BadRequest', `invalid filter 'stars=${text.slice(0, 32)}'`);
  return Number(text);
}

/** A registry that can't be reached is no failure where this machine has an answer. */
export function orElseHere(here: readonly SearchResult[]): (error: unknown) => FoundRepository[] {
  return error => {
    if (here.length === 0 || !isUnreachable(error)) throw error;
    return [];
  };
}
