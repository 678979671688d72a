import { spawnSync } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';

/** Where a command reads and writes; `isTTY` tells whether a person is there. */
export interface Streams {
  stdin: Readable & { isTTY?: boolean; setRawMode?: (isRaw: boolean) => unknown };
  stdout: Writable & { isTTY?: boolean; columns?: number; rows?: number };
  stderr: Writable & { isTTY?: boolean; columns?: number };
  env: NodeJS.ProcessEnv;
}

/** This process's own. */
export function processStreams(): Streams {
  const { stdin, stdout, stderr, env } = process;
  if (stdout.listenerCount('error') === 0) stdout.on('error', ignoreClosedPipe);
  return { stdin, stdout, stderr, env };
}

/** A reader who has seen enough (`| head`) is no failure. */
function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
}

/** Hands every key and every byte through, until disposed; the end of the process disposes it too. */
export function rawTerminal({ stdin }: Pick<Streams, 'stdin'>): Disposable {
  stdin.setRawMode?.(true);
  // Node leaves the terminal to turn line feeds into new lines, which is the other side's business now.
  if (stdin === process.stdin) spawnSync('stty', ['-opost'], { stdio: ['inherit', 'ignore', 'ignore'] });
  return { [Symbol.dispose]: () => void stdin.setRawMode?.(false) };
}

/** How a command prints: for people, or as JSON. */
export type OutputForm = 'text' | 'json';

/** Prints JSON, indented, the way of `-o json`. */
export function printJson({ stdout }: Pick<Streams, 'stdout'>, value: unknown): void {
  stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

export type Colour = 'red' | 'green' | 'yellow' | 'dim' | 'bold';
const CODE: Record<Colour, number> = { red: 31, green: 32, yellow: 33, dim: 2, bold: 1 };

/** Colours text when `stream` is a terminal and NO_COLOR is unset or empty (no-color.org). */
export function painter(stream: { isTTY?: boolean }, env: NodeJS.ProcessEnv): (colour: Colour, text: string) => string {
  const isOn = stream.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb';
  return (colour, text) => (isOn ? `\x1b[${CODE[colour]}m${text}\x1b[0m` : text);
}

/** Columns as wide as their widest cell, three spaces between; control characters are shown, not obeyed. */
export function toTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const clean = [header, ...rows].map(row => row.map(visible));
  const widths = header.map((_, column) => Math.max(...clean.map(row => row[column]?.length ?? 0)));
  const lines = clean.map(row =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('   ')
      .trimEnd(),
  );
  return `${lines.join('\n')}\n`;
}

/** Text from elsewhere without the power to move a terminal's cursor. */
export function visible(text: string): string {
  // biome's rule on control characters is about typos; here they are the subject, so they are built by code.
  return text.replace(CONTROL, character => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
const CONTROL = new RegExp(
  `[${String.fromCharCode(0)}-${String.fromCharCode(31)}${String.fromCharCode(127)}-${String.fromCharCode(159)}]`,
  'g',
);

/** `3s`, `5m`, `2h`, `4d`: the larger unit alone. */
export function toAge(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** `1.2 MB`. */
export function toSize(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  let value = bytes / 1000;
  let at = 0;
  while (value >= 999.5 && at < units.length - 1) {
    value /= 1000;
    at++;
  }
  return `${value.toFixed(value < 10 ? 1 : 0)} ${units[at]}`;
}

/** One line on stderr that changes while something long goes on; silent where nobody looks. */
export class Progress implements Disposable {
  readonly #stream: Streams['stderr'];
  readonly #isOn: boolean;
  #shown = '';

  constructor({ stderr }: Pick<Streams, 'stderr'>) {
    this.#stream = stderr;
    this.#isOn = stderr.isTTY === true;
  }

  show(text: string): void {
    const line = visible(text).slice(0, Math.max(20, (this.#stream.columns ?? 80) - 1));
    if (!this.#isOn || line === this.#shown) return;
    this.#shown = line;
    this.#stream.write(`\r\x1b[K${line}`);
  }

  /** Takes the line away. */
  [Symbol.dispose](): void {
    if (this.#shown !== '') this.#stream.write('\r\x1b[K');
    this.#shown = '';
  }
}
