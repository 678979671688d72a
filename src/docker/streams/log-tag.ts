import { hostname } from 'node:os';
import type { DockerContainer } from '../rooms.ts';

const FIELD = /\{\{\s*\.(\w+)\s*\}\}/g;

/**
 * Docker's log tag: `{{.ID}}`, `{{.FullID}}`, `{{.Name}}`, `{{.ImageName}}`, `{{.ImageID}}`, … put in. In one line, since receivers of
 * syslog take what follows a newline for a message of its own. Pure but for the host's name.
 */
export function renderTag(template: string, container: DockerContainer): string {
  const fields = fieldsOf(container);
  return template.replace(FIELD, (whole, name: string) => fields[name] ?? whole).replace(/\p{Cc}/gu, ' ');
}

/** Names that a tag can have. */
export function unknownTagField(template: string): string | undefined {
  const known = new Set(['ID', 'FullID', 'Name', 'ImageName', 'ImageID', 'ImageFullID', 'Hostname', 'DaemonName', 'Command']);
  const rest = template.replace(FIELD, (whole, name: string) => (known.has(name) ? '' : whole));
  return /\{\{.*?(?:\}\}|$)/.exec(rest)?.[0];
}

function fieldsOf({ id, name, data, engine }: DockerContainer): Record<string, string> {
  return {
    ID: id.slice(0, 12),
    FullID: id,
    Name: name,
    ImageName: data.image,
    ImageID: engine.imageId.replace(/^sha256:/, '').slice(0, 12),
    ImageFullID: engine.imageId,
    Hostname: hostname(),
    DaemonName: 'docker',
    Command: [data.path, ...data.args].join(' '),
  };
}
