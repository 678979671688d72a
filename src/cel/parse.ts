import { type ASTNode, Environment, ParseError } from '@marcbachmann/cel-js';
import { desugar } from './desugar.ts';
import { CompileError } from './errors.ts';

/** One node of the library's syntax tree; offsets are those of the parsed text. */
export type Syntax = ASTNode;

/** A parsed expression, and where a parsed offset stands in the text that the author wrote. */
export interface Parsed {
  root: Syntax;
  toSource(offset: number): number;
  /** The text that the tree's offsets refer to. */
  text: string;
}

/** The longest expression that is read at all. */
export const MAX_EXPRESSION_LENGTH = 65_536;

const environment = new Environment({
  unlistedVariablesAreDyn: true,
  enableOptionalTypes: true,
  limits: { maxAstNodes: 20_000, maxDepth: 64, maxListElements: 4_096, maxMapEntries: 4_096 },
});

/** Reads an expression. @throws CompileError */
export function parseExpression(source: string): Parsed {
  if (source.length > MAX_EXPRESSION_LENGTH)
    throw new CompileError(
      `Syntax error: expression code point size exceeds limit: size: ${source.length}, limit ${MAX_EXPRESSION_LENGTH}`,
      0,
    );
  const { text, toSource } = desugar(source);
  try {
    return { root: environment.parse(text).ast, toSource, text };
  } catch (error) {
    if (error instanceof ParseError) throw new CompileError(`Syntax error: ${error.summary}`, toSource(error.range?.start ?? 0));
    if (error instanceof RangeError) throw new CompileError('Syntax error: expression recursion limit exceeded: 250', 0);
    throw error;
  }
}
