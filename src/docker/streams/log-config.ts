import { existsSync } from 'node:fs';
import { messageOf, UmiakError } from '#base/errors.ts';
import type { HostConfig } from '../containers/forms.ts';
import { parseFacility, parseSyslogAddress, SYSLOG_FORMATS } from './log-drivers/syslog-options.ts';
import { unknownTagField } from './log-tag.ts';

type LogConfig = HostConfig['LogConfig'];

const DEFAULT_DRIVER = 'json-file';
export const JOURNAL_SOCKET = '/run/systemd/journal/socket';
/** Options that stand beside lines, of all drivers that have them. */
const ATTRIBUTES = ['labels', 'labels-regex', 'env', 'env-regex', 'tag'];
const ANY_DRIVER = ['mode', 'max-buffer-size'];
const LOCAL_CACHE = ['cache-disabled', 'cache-max-size', 'cache-max-file', 'cache-compress'];
const SYSLOG = ['syslog-address', 'syslog-facility', 'syslog-format'];

/** The options of each driver that there is. */
const OPTIONS: Readonly<Record<string, readonly string[]>> = {
  'json-file': ['max-size', 'max-file', 'compress', ...ATTRIBUTES],
  local: ['max-size', 'max-file', 'compress'],
  none: [],
  syslog: [...SYSLOG, ...ATTRIBUTES, ...LOCAL_CACHE],
  journald: [...ATTRIBUTES, ...LOCAL_CACHE],
};

/** Drivers of docker's that there are not: each is named when it is refused. */
const OTHERS = ['gelf', 'fluentd', 'awslogs', 'splunk', 'etwlogs', 'gcplogs', 'logentries'];

/** The configuration as it is kept. @throws BadRequest in docker's words */
export function planLogConfig(asked: Partial<LogConfig> | undefined, hasJournal = existsSync(JOURNAL_SOCKET)): LogConfig {
  const Type = asked?.Type || DEFAULT_DRIVER;
  const Config = { ...asked?.Config };
  const known = OPTIONS[Type];
  if (OTHERS.includes(Type))
    throw refused(`logger: umiak has no log driver named '${Type}': json-file, local, none, syslog and journald are there`);
  if (!known) throw refused(`logger: no log driver named '${Type.slice(0, 64)}' is registered`);
  if (Type === 'journald' && !hasJournal) throw refused('journald is not enabled on this host');
  for (const [key, value] of Object.entries(Config)) {
    if (![...known, ...ANY_DRIVER].includes(key)) throw refused(`unknown log opt '${key.slice(0, 64)}' for ${Type} log driver`);
    checkOption(key, value);
  }
  const isRotated = Number(Config['max-file'] ?? 1) > 1 && Config['max-size'] !== undefined;
  if (Type === 'json-file' && isTrue(Config.compress ?? '') && !isRotated)
    throw refused('compress cannot be true when max-file is less than 2 or max-size is not set');
  return { Type, Config };
}

function checkOption(key: string, value: string): void {
  switch (key) {
    case 'max-size':
    case 'cache-max-size':
    case 'max-buffer-size':
      if (parseSize(value) === undefined) throw refused(`invalid value for ${key}: ${JSON.stringify(value.slice(0, 64))} is no size`);
      return;
    case 'max-file':
    case 'cache-max-file':
      if (!/^\d{1,4}$/.test(value) || Number(value) < 1) throw refused(`${key} cannot be less than 1`);
      return;
    case 'compress':
    case 'cache-disabled':
    case 'cache-compress':
      if (!/^(?:true|false|1|0)$/i.test(value)) throw refused(`invalid value for ${key}: ${JSON.stringify(value.slice(0, 64))}`);
      return;
    case 'mode':
      if (value !== '' && value !== 'blocking' && value !== 'non-blocking')
        throw refused(`logger: logging mode not supported: ${value.slice(0, 64)}`);
      return;
    case 'labels-regex':
    case 'env-regex':
      compile(value, key);
      return;
    case 'tag': {
      const field = unknownTagField(value);
      if (field) throw refused(`template: log-tag: can't evaluate ${field.slice(0, 64)}`);
      return;
    }
    case 'syslog-address':
      parseSyslogAddress(value);
      return;
    case 'syslog-facility':
      parseFacility(value);
      return;
    case 'syslog-format':
      if (!SYSLOG_FORMATS.includes(value)) throw refused('Invalid syslog format');
  }
}

function compile(pattern: string, key: string): void {
  try {
    new RegExp(pattern);
  } catch (error) {
    throw refused(`invalid value for ${key}: ${messageOf(error)}`);
  }
}

/** How much of a log stays on this machine. */
export interface LogBounds {
  maxBytes: number;
  /** The current one counts. */
  files: number;
  compress: boolean;
}

/** When a container's log is put away, and how often; nothing where it may grow without end, as docker's default does. Pure. */
export function planLogBounds({ Type, Config }: LogConfig): LogBounds | undefined {
  if (Type === 'none') return undefined;
  // What goes elsewhere is kept here too, to be read: docker's own cache has these bounds.
  const isCache = Type === 'syslog' || Type === 'journald';
  const prefix = isCache ? 'cache-' : '';
  const isBounded = isCache || Type === 'local';
  const maxBytes = parseSize(Config[`${prefix}max-size`] ?? (isBounded ? '20m' : ''));
  if (maxBytes === undefined || maxBytes <= 0) return undefined;
  const files = Number(Config[`${prefix}max-file`] ?? (isBounded ? 5 : 1));
  const compress = Config[`${prefix}compress`] ?? String(isBounded);
  return { maxBytes, files, compress: isTrue(compress) };
}

function isTrue(text: string): boolean {
  return /^(?:true|1)$/i.test(text);
}

/** `10m`, `1.5gb`, `100`; -1 has no bound. */
function parseSize(text: string): number | undefined {
  if (text === '-1') return -1;
  const [, number, unit = ''] = /^(\d{1,12}(?:\.\d{1,3})?) ?([kmgtp]?)(?:i?b)?$/i.exec(text) ?? [];
  return number === undefined ? undefined : Math.floor(Number(number) * 1024 ** ' kmgtp'.indexOf(unit.toLowerCase() || ' '));
}

function refused(message: string): UmiakError {
  return new UmiakError('BadRequest', message);
}
