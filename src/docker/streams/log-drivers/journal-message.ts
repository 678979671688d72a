import type { LogEntry } from './entries.ts';

const INFO = '6';
const ERROR = '3';

/** One line in the journal's native protocol, with docker's fields. `fields` stand with each. Pure. */
export function toJournalMessage({ stream, time, content, isWhole }: LogEntry, fields: ReadonlyMap<string, string>): Buffer {
  const parts = [
    toField('MESSAGE', content),
    toField('PRIORITY', Buffer.from(stream === 'stderr' ? ERROR : INFO)),
    toField('SYSLOG_TIMESTAMP', Buffer.from(time)),
    ...[...fields].map(([name, value]) => toField(toFieldName(name), Buffer.from(value))),
  ];
  if (!isWhole) parts.push(toField('CONTAINER_PARTIAL_MESSAGE', Buffer.from('true')));
  return Buffer.concat(parts);
}

/** Capital letters, digits and underscores; as docker does with labels. */
function toFieldName(name: string): string {
  return (
    name
      .toUpperCase()
      .replace(/[^A-Z0-9_]/g, '_')
      .replace(/^_+/, '')
      .slice(0, 64) || 'UNNAMED'
  );
}

/** With a newline in it, a value goes by its length. */
function toField(name: string, value: Buffer): Buffer {
  if (!value.includes(0x0a)) return Buffer.concat([Buffer.from(`${name}=`), value, Buffer.from('\n')]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(value.length));
  return Buffer.concat([Buffer.from(`${name}\n`), length, value, Buffer.from('\n')]);
}
