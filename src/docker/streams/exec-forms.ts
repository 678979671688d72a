import type { IncomingMessage } from 'node:http';
import { UmiakError } from '#base/errors.ts';
import { decodeFields, type Fields } from '../containers/decode.ts';
import { parseJson } from '../json-words.ts';
import { requireJsonType } from '../request.ts';
import { parseDetachKeys } from './detach-keys.ts';
import type { Exec, ExecConfig } from './exec-registry.ts';

const CONFIG: Fields = {
  AttachStdin: 'boolean',
  AttachStdout: 'boolean',
  AttachStderr: 'boolean',
  Tty: 'boolean',
  Cmd: 'strings',
  Env: { list: 'string' },
  Privileged: 'boolean',
  User: 'string',
  WorkingDir: 'string',
  DetachKeys: 'string',
  ConsoleSize: { list: 'integer' },
};
const START: Fields = { Detach: 'boolean', Tty: 'boolean', ConsoleSize: { list: 'integer' } };

interface ConfigFields {
  AttachStdin?: boolean;
  AttachStdout?: boolean;
  AttachStderr?: boolean;
  Tty?: boolean;
  Cmd?: string[];
  Env?: string[];
  Privileged?: boolean;
  User?: string;
  WorkingDir?: string;
  DetachKeys?: string;
  ConsoleSize?: number[];
}

/** The body of `POST /containers/{id}/exec`. @throws BadRequest naming the field */
export function parseExecConfig(body: unknown, containerId: string): ExecConfig {
  const fields = decodeFields(body, CONFIG, 'ExecConfig') as ConfigFields;
  const { Cmd: command = [], Tty: tty = false, DetachKeys: detachKeysText = '' } = fields;
  if (command.length === 0) throw new UmiakError('BadRequest', 'No exec command specified');
  const size = sizeOf(fields.ConsoleSize);
  const { AttachStdin: stdin = false, AttachStdout: stdout = false, AttachStderr: stderr = false } = fields;
  return {
    containerId,
    attach: { stdin, stdout, stderr },
    tty,
    command,
    env: fields.Env ?? [],
    privileged: fields.Privileged ?? false,
    user: fields.User ?? '',
    workingDir: fields.WorkingDir ?? '',
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

interface StartFields {
  Detach?: boolean;
  Tty?: boolean;
  ConsoleSize?: number[];
}

/** The body of `POST /exec/{id}/start`. @throws BadRequest */
export function parseExecStart(body: Buffer, incoming: IncomingMessage): StartFields {
  if (body.length === 0) return {};
  requireJsonType(incoming);
  return decodeFields(parseJson(body.toString()), START, 'ExecStartConfig') as StartFields;
}

/** What it asks for of an exec; one that says nothing of a terminal reads what the exec has. @throws BadRequest */
export function planExecStart(
  { Detach: detach = false, Tty, ConsoleSize }: StartFields,
  { tty: isTerminal }: Pick<Exec, 'tty'>,
): ExecStart {
  const tty = Tty ?? isTerminal;
  const size = sizeOf(ConsoleSize);
  return { detach, tty, size: tty && isTerminal ? size : undefined };
}

/** `[height, width]`; nothing where one is zero. @throws BadRequest */
function sizeOf(value: number[] | undefined): Exec['size'] {
  const [rows = 0, columns = 0] = value ?? [];
  if (value && (value.length !== 2 || value.some(one => one < 0 || one > 65_535)))
    throw new UmiakError('BadRequest', 'ConsoleSize must be two numbers, height and width');
  return rows > 0 && columns > 0 ? { rows, columns } : undefined;
}
