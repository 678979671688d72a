/** What a class of Unicode letters and the like weighs. */
const UNICODE_CLASS = 25;
const TOKEN =
  /\\[pP](?:\{[^}]*\}|.)|\\Q[\s\S]*?(?:\\E|$)|\\[\s\S]|\[\^?\]?(?:\\[\s\S]|\[:[^\]]*:\]|[^\]\\])*\]|\{(\d+)(,?)(\d*)\}|[()]|[\s\S]/gu;

/** About how many instructions a pattern comes to, found without compiling it: of `(a{1,30}){1,30}` 900. */
export function sizeOfPattern(pattern: string): number {
  const outer: number[] = [];
  let sum = 0;
  let last = 0;
  for (const [token, least, comma, most] of pattern.matchAll(TOKEN)) {
    if (token === '(') {
      outer.push(sum + last);
      sum = last = 0;
    } else if (token === ')') {
      last += sum;
      sum = outer.pop() ?? 0;
    } else if (least !== undefined) last *= Math.max(1, Number(most || least) + (comma && !most ? 1 : 0));
    else {
      sum += last;
      last = token.length > 2 && !token.startsWith('\\Q') ? classSize(token) : token.length;
    }
  }
  return outer.reduce((whole, part) => whole + part, sum + last);
}

function classSize(token: string): number {
  return 1 + UNICODE_CLASS * (token.match(/\\[pP]/g)?.length ?? 0);
}
