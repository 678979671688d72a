/** Whether a text has what an expression of a client says: Go's syntax, in time that does not explode. */
export type Matches = (pattern: string, text: string) => boolean;

const LONGEST = 512;
/** Letters, anchors, dots: no engine can be led astray by them. */
const PLAIN = /^[\w\-./: ^$]*$/;

/** Matches names by expressions, and by themselves where they are none. What more than plain ones need is loaded when one comes. */
export async function openMatches(patterns: readonly string[]): Promise<Matches> {
  const isPlain = patterns.every(pattern => pattern.length > LONGEST || PLAIN.test(pattern));
  const { matchesPattern } = isPlain ? { matchesPattern: matchesPlain } : await import('#cel/libraries/regex.ts');
  return (pattern, text) => {
    if (pattern === text) return true;
    if (pattern.length > LONGEST) return false;
    try {
      return matchesPattern(text, pattern) ?? false;
    } catch {
      return text.includes(pattern);
    }
  };
}

const compiled = new Map<string, RegExp>();

function matchesPlain(text: string, pattern: string): boolean {
  const known = compiled.get(pattern) ?? new RegExp(pattern);
  if (compiled.size > 256) compiled.clear();
  compiled.set(pattern, known);
  return known.test(text);
}
