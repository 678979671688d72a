import { writeSync } from 'node:fs';

/** Structured lines on stderr: `{"time":…,"level":…,"part":…,"message":…,…}`. One logger a part, made by the composition root. */
export type Level = 'debug' | 'info' | 'warn' | 'error';

export interface Log {
  debug(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
  /** The same sink under a longer part name: `engine` → `engine/logs`. */
  part(name: string): Log;
}

export interface LogOptions {
  part?: string;
  level?: Level;
  write?: (line: string) => void;
}

const RANK: Record<Level, number> = { debug: 0, info: 1, warn: 2, error: 3 };

export function createLog({ part = '', level = 'info', write = writeToStderr }: LogOptions = {}): Log {
  const emit = (at: Level, message: string, fields: Record<string, unknown> = {}) => {
    if (RANK[at] < RANK[level]) return;
    write(`${JSON.stringify({ time: new Date().toISOString(), level: at, part, message, ...plain(fields) })}\n`);
  };
  return {
    debug: (message, fields) => emit('debug', message, fields),
    info: (message, fields) => emit('info', message, fields),
    warn: (message, fields) => emit('warn', message, fields),
    error: (message, fields) => emit('error', message, fields),
    part: name => createLog({ part: part ? `${part}/${name}` : name, level, write }),
  };
}

/** A full disk under the log must not end who writes it, nor keep later lines from being written. */
function writeToStderr(line: string): void {
  try {
    writeSync(2, line);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') process.stderr.write(line); // a pipe that is slow
  }
}

/** A log that says nothing, for tests. */
export const silentLog: Log = createLog({ write: () => {} });

function plain(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [key, value instanceof Error ? (value.stack ?? value.message) : value]),
  );
}
