const SURROGATE = /[\ud800-\udfff]/;

/** The code points of a text; undefined when each is one unit, as in nearly all texts. */
export function codePoints(text: string): string[] | undefined {
  return SURROGATE.test(text) ? [...text] : undefined;
}

/** The number of code points. */
export function codePointCount(text: string): number {
  return codePoints(text)?.length ?? text.length;
}
