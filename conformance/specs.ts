import { parse } from 'yaml';

/** One conformance spec: its full name, and the part of the project that owns it. */
export interface Spec {
  name: string;
  /** `apps` of `[sig-apps]`. */
  area: string;
  /** Nothing may run beside it. */
  isSerial: boolean;
}

/** Reads what the suite's `--list-conformance-tests` prints. */
export function parseSpecs(listing: string): Spec[] {
  const entries = parse(listing) as { codename: string }[];
  return entries.map(({ codename }) => toSpec(codename)).sort((a, b) => compare(a.area, b.area) || compare(a.name, b.name));
}

function toSpec(name: string): Spec {
  return { name, area: /^\[sig-([a-z-]+)\]/.exec(name)?.[1] ?? 'other', isSerial: /\[(Serial|Disruptive)\]/.test(name) };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** What was asked for; no part of it means no restriction. */
export interface Choice {
  /** Regular expressions over the spec's name. */
  focus?: string | undefined;
  skip?: string | undefined;
  /** Areas, separated by commas. */
  area?: string | undefined;
}

export function chooseSpecs(specs: readonly Spec[], { focus, skip, area }: Choice): Spec[] {
  const areas = area === undefined || area === '' ? undefined : area.split(',').map(each => each.trim().replace(/^sig-/, ''));
  const wanted = focus ? new RegExp(focus) : undefined;
  const unwanted = skip ? new RegExp(skip) : undefined;
  return specs.filter(
    ({ name, area: its }) => (areas?.includes(its) ?? true) && (wanted?.test(name) ?? true) && !(unwanted?.test(name) ?? false),
  );
}

/** The expression for `--ginkgo.focus` that finds this spec alone; what it is held against begins with the name of the whole suite. */
export function toFocus(name: string): string {
  return `${name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`;
}
