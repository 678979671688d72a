const SURROGATE = /[\ud800-\udfff]/;

/** The code points of a text; undefined when each is one unit, as in nearly all texts. */
export function codePoints(text: string): string[] | undefined {
  return SURROGATE.test(text) ? [...text] : undefined;
}

/** The number of code points. */
export function codePointCount(text: string): number {
  if (!SURROGATE.test(text)) return text.length;
  let count = text.length;
  for (let at = 0; at + 1 < text.length; at++)
    if (isBetween(text, at, 0xd800, 0xdbff) && isBetween(text, at + 1, 0xdc00, 0xdfff)) {
      count--;
      at++;
    }
  return count;
}

function isBetween(text: string, at: number, least: number, most: number): boolean {
  const unit = text.charCodeAt(at);
  return unit >= least && unit <= most;
}
