/**
 * A failure of an expression while it runs. Rules may fail for every element of a list: no stack is taken down, which would cost more than
 * all else.
 */
export class CelError extends Error {
  override readonly name = 'CelError';
  constructor(message: string) {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(message);
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** The expression has used up its cost or its time: no operator may absorb it. */
export class BudgetExceeded extends Error {
  override readonly name = 'BudgetExceeded';
}

/** A failure while an expression is read or checked, at an offset of its text. */
export class CompileError extends Error {
  override readonly name = 'CompileError';
  readonly offset: number;
  constructor(message: string, offset: number) {
    super(message);
    this.offset = offset;
  }
}

/** The text as upstream prints it: `ERROR: <input>:1:6: why`, the line, and a mark below. */
export function formatError(text: string, message: string, offset: number): string {
  const before = text.slice(0, offset);
  const line = before.split('\n').length;
  const column = offset - (before.lastIndexOf('\n') + 1);
  const shown = text.split('\n')[line - 1] ?? '';
  return `ERROR: <input>:${line}:${column + 1}: ${message}\n | ${shown}\n | ${'.'.repeat(column)}^`;
}

/** Thrown through an evaluation that is to go on later: no failure, and nothing may hold it up. */
export class Pause {}
