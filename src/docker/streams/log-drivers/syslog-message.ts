import type { LogEntry } from './entries.ts';

export interface SyslogForm {
  format: string;
  facility: number;
  tag: string;
  hostname: string;
  pid: number;
}

const INFO = 6;
const ERROR = 3;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** One line as a syslog message in docker's formats: of its own by default, RFC 3164, RFC 5424 with seconds or microseconds. Pure. */
export function toSyslogMessage({ stream, time, content }: LogEntry, { format, facility, tag, hostname, pid }: SyslogForm): Buffer {
  const priority = facility * 8 + (stream === 'stderr' ? ERROR : INFO);
  const head =
    format === 'rfc5424' || format === 'rfc5424micro'
      ? `<${priority}>1 ${time.slice(0, 19)}${format === 'rfc5424micro' ? time.slice(19, 26) : ''}Z ${hostname} ${tag} ${pid} ${tag} - `
      : `<${priority}>${stampOf(time)} ${format === 'rfc3164' ? `${hostname} ` : ''}${tag}[${pid}]: `;
  return Buffer.concat([Buffer.from(head), content, Buffer.from('\n')]);
}

/** `Nov  3 04:59:21`, in the machine's zone, as syslog has it. */
function stampOf(time: string): string {
  const date = new Date(time.replace(/(\.\d{3})\d*/, '$1'));
  const two = (number: number) => String(number).padStart(2, '0');
  return `${MONTHS[date.getMonth()]} ${String(date.getDate()).padStart(2)} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}
