/** What tells whether a text matches somewhere. @throws SyntaxError for a pattern that can't be understood */
export function patternOf(pattern: string): (text: string) => boolean {
  const compiled = new RegExp(pattern, 'u');
  return text => compiled.test(text);
}
