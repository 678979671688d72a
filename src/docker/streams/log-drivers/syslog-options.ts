import { UmiakError } from '#base/errors.ts';

/** Where syslog messages go. */
export type SyslogAddress =
  | { network: 'udp' | 'tcp' | 'tcp+tls'; host: string; port: number }
  | { network: 'unix' | 'unixgram'; path: string }
  /** The machine's own. */
  | { network: 'local' };

export const SYSLOG_FORMATS: readonly string[] = ['', 'rfc3164', 'rfc5424', 'rfc5424micro'];
const DEFAULT_PORT = 514;
const DAEMON = 3;
const FACILITIES = [
  ...['kern', 'user', 'mail', 'daemon', 'auth', 'syslog', 'lpr', 'news', 'uucp', 'cron', 'authpriv', 'ftp'],
  ...['', '', '', '', 'local0', 'local1', 'local2', 'local3', 'local4', 'local5', 'local6', 'local7'],
];

/** `udp://host:port`, `tcp://…`, `unix:///path`, `unixgram:///path`; nothing means the machine's own. @throws BadRequest */
export function parseSyslogAddress(text: string | undefined): SyslogAddress {
  if (!text) return { network: 'local' };
  const [, network = '', rest = ''] = /^([a-z+]+):\/\/(.*)$/.exec(text) ?? [];
  if ((network === 'unix' || network === 'unixgram') && rest.startsWith('/')) return { network, path: rest };
  if (network === 'tcp+tls')
    throw new UmiakError('BadRequest', 'umiak does not speak syslog over TLS yet: udp, tcp, unix and unixgram are there');
  if (network === 'udp' || network === 'tcp') {
    const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:/]+))(?::(\d{1,5}))?$/.exec(rest) ?? [];
    const host = bracketed ?? plain;
    if (host !== undefined && Number(port ?? DEFAULT_PORT) < 65_536) return { network, host, port: Number(port ?? DEFAULT_PORT) };
  }
  throw new UmiakError('BadRequest', `syslog-address should be in form proto://address, got ${text.slice(0, 128)}`);
}

/** A facility's number, by name or number. @throws BadRequest */
export function parseFacility(text: string | undefined): number {
  if (!text) return DAEMON;
  const number = /^\d{1,2}$/.test(text) ? Number(text) : FACILITIES.indexOf(text);
  if (number >= 0 && number <= 23) return number;
  throw new UmiakError('BadRequest', 'invalid syslog facility');
}
