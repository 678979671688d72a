import { UmiakError } from '#base/errors.ts';
import { parseDetachKeys } from './detach-keys.ts';
import type { Exec, ExecConfig } from './exec-registry.ts';

type Json = Record<string, unknown>;

/** The body of `POST /containers/{id}/exec`. @throws BadRequest naming the field */
export function parseExecConfig(body: unknown, containerId: string): ExecConfig {
  const json = toObject(body);
  const command = strings(json, 'Cmd');
  if (command.length === 0) throw new UmiakError('BadRequest', 'No exec command specified');
  const detachKeysText = text(json, 'DetachKeys');
  const tty = flag(json, 'Tty');
  const size = sizeOf(json.ConsoleSize);
  return {
    containerId,
    attach: { stdin: flag(json, 'AttachStdin'), stdout: flag(json, 'AttachStdout'), stderr: flag(json, 'AttachStderr') },
    tty,
    command,
    env: strings(json, 'Env'),
    privileged: flag(json, 'Privileged'),
    user: text(json, 'User'),
    workingDir: text(json, 'WorkingDir'),
    detachKeys: parseDetachKeys(detachKeysText),
    detachKeysText,
    size: tty ? size : undefined,
  };
}

export interface ExecStart {
  detach: boolean;
  /** Whether the client reads its outputs without frames. */
  tty: boolean;
  size: Exec['size'];
}

/** The body of `POST /exec/{id}/start`; none means that of docker's zero values. @throws BadRequest */
export function parseExecStart(body: Buffer, { tty: isTerminal }: Pick<Exec, 'tty'>): ExecStart {
  const json = body.length === 0 ? {} : toObject(parseJson(body));
  const tty = flag(json, 'Tty', isTerminal && !('Tty' in json));
  const size = sizeOf(json.ConsoleSize);
  return { detach: flag(json, 'Detach'), tty, size: tty && isTerminal ? size : undefined };
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch (cause) {
    throw new UmiakError('BadRequest', 'the body is no JSON', { cause });
  }
}

function toObject(body: unknown): Json {
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body as Json;
  throw new UmiakError('BadRequest', 'the body must be a JSON object');
}

function flag(json: Json, field: string, otherwise = false): boolean {
  const value = json[field] ?? otherwise;
  if (typeof value !== 'boolean') throw wrong(field, 'a boolean');
  return value;
}

function text(json: Json, field: string): string {
  const value = json[field] ?? '';
  if (typeof value !== 'string') throw wrong(field, 'a string');
  return value;
}

/** Older clients write one string where a list is meant. */
function strings(json: Json, field: string): string[] {
  const value = json[field] ?? [];
  const list = typeof value === 'string' ? [value] : value;
  if (!Array.isArray(list) || !list.every(one => typeof one === 'string')) throw wrong(field, 'a list of strings');
  return list as string[];
}

/** `[height, width]`; nothing where both are zero. */
function sizeOf(value: unknown): Exec['size'] {
  if (value === undefined || value === null) return undefined;
  const [rows, columns] = Array.isArray(value) ? (value as unknown[]) : [];
  if (!isSize(rows) || !isSize(columns)) throw wrong('ConsoleSize', 'two numbers, height and width');
  return rows > 0 && columns > 0 ? { rows, columns } : undefined;
}

function isSize(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 65_535;
}

function wrong(field: string, what: string): UmiakError {
  return new UmiakError('BadRequest', `${field} must be ${what}`);
}
