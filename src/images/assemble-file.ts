import { parse } from 'yaml';
import { messageOf, UmiakError } from '#base/errors.ts';
import { isObject } from '#base/json-object.ts';
import { hostPlatform } from './oci.ts';
import { parseReference } from './reference.ts';

/** What `umiak image assemble FILE` reads. Paths are absolute paths in the image. */
export interface AssembleFile {
  /** The name the image gets. */
  name: string;
  architecture: string;
  /** Debian packages; their dependencies come along. */
  packages: string[];
  /** Manuals, documentation and translations of the packages, which are left out otherwise. */
  keepDocs: boolean;
  /** Commands of busybox to be linked in `/bin`; `all` for its usual ones. */
  applets: string[] | 'all';
  users: UserEntry[];
  groups: GroupEntry[];
  directories: DirectoryEntry[];
  files: FileEntry[];
  links: LinkEntry[];
  env: Record<string, string>;
  entrypoint: string[];
  cmd: string[];
  workingDir: string;
  user: string;
  exposedPorts: string[];
  volumes: string[];
  labels: Record<string, string>;
  stopSignal: string;
}

export interface UserEntry {
  name: string;
  uid: number;
  gid: number;
  home: string;
  shell: string;
}

export interface GroupEntry {
  name: string;
  gid: number;
  members: string[];
}

export interface DirectoryEntry {
  path: string;
  mode: number;
  owner: string;
}

export interface FileEntry {
  path: string;
  /** The content itself, or … */
  content?: string;
  /** … a file or directory, relative to the assemble file. */
  source?: string;
  /** Without it, the source's executable bit decides. */
  mode?: number;
  owner: string;
}

export interface LinkEntry {
  path: string;
  target: string;
}

/** Reads the declarative file. @throws Invalid with the path of every bad field. */
export function parseAssembleFile(text: string, what: string): AssembleFile {
  let document: unknown;
  try {
    document = parse(text, { maxAliasCount: 100 });
  } catch (cause) {
    throw new UmiakError('Invalid', `${what}: ${messageOf(cause)}`, { cause });
  }
  const problems: { field: string; message: string }[] = [];
  const root = new Field(document, '', problems).map();
  const file: AssembleFile = {
    name: root.at('name').text('', true),
    architecture: root.at('architecture').text(hostPlatform().architecture),
    packages: root.at('packages').texts(/^[a-z0-9][a-z0-9+.-]+$/),
    keepDocs: root.at('keepDocs').flag(),
    applets: root.at('applets').value === 'all' ? 'all' : root.at('applets').texts(/^[a-z0-9[_.-]+$/),
    users: root.at('users').list(field => ({
      name: field.at('name').text('', true),
      uid: field.at('uid').id(),
      gid: field.at('gid').id(field.at('uid').value),
      home: field.at('home').text('/nonexistent'),
      shell: field.at('shell').text('/usr/sbin/nologin'),
    })),
    groups: root
      .at('groups')
      .list(field => ({ name: field.at('name').text('', true), gid: field.at('gid').id(), members: field.at('members').texts() })),
    directories: root
      .at('directories')
      .list(field => ({ path: field.at('path').path(), mode: field.at('mode').mode() ?? 0o755, owner: field.at('owner').text('0:0') })),
    files: root.at('files').list(field => toFileEntry(field)),
    links: root.at('links').list(field => ({ path: field.at('path').path(), target: field.at('target').text('', true) })),
    env: root.at('env').texting(),
    entrypoint: root.at('entrypoint').texts(),
    cmd: root.at('cmd').texts(),
    workingDir: root.at('workingDir').text(''),
    user: root.at('user').text(''),
    exposedPorts: root.at('exposedPorts').texts(/^\d{1,5}(\/(tcp|udp|sctp))?$/),
    volumes: root.at('volumes').texts(/^\//),
    labels: root.at('labels').texting(),
    stopSignal: root.at('stopSignal').text(''),
  };
  root.refuseOthers();
  if (file.name !== '') checkName(file.name, problems);
  if (problems.length > 0)
    throw new UmiakError(
      'Invalid',
      `${what}: ${problems.map(({ field, message }) => (field === '' ? message : `${field}: ${message}`)).join('; ')}`,
      {
        details: { causes: problems.map(({ field, message }) => ({ reason: 'FieldValueInvalid', field, message })) },
      },
    );
  return file;
}

function toFileEntry(field: Field): FileEntry {
  const [content, source, mode] = [field.at('content').value, field.at('source').value, field.at('mode').mode()];
  if ((content === undefined) === (source === undefined)) field.report('needs either content or source');
  return {
    path: field.at('path').path(),
    ...(content !== undefined ? { content: field.at('content').text('') } : {}),
    ...(source !== undefined ? { source: field.at('source').text('', true) } : {}),
    ...(mode !== undefined ? { mode } : {}),
    owner: field.at('owner').text('0:0'),
  };
}

function checkName(name: string, problems: { field: string; message: string }[]): void {
  try {
    if (parseReference(name).digest !== undefined)
      problems.push({ field: 'name', message: 'an image is given a name and a tag, not a digest' });
  } catch (error) {
    problems.push({ field: 'name', message: messageOf(error) });
  }
}

/** A value in the document with its path; collects what is wrong with it. */
class Field {
  readonly value: unknown;
  readonly #path: string;
  readonly #problems: { field: string; message: string }[];
  readonly #asked = new Set<string>();

  constructor(value: unknown, path: string, problems: { field: string; message: string }[]) {
    this.value = value ?? undefined;
    this.#path = path;
    this.#problems = problems;
  }

  report(message: string): void {
    this.#problems.push({ field: this.#path, message });
  }

  at(key: string): Field {
    this.#asked.add(key);
    return new Field(isObject(this.value) ? this.value[key] : undefined, this.#path === '' ? key : `${this.#path}.${key}`, this.#problems);
  }

  map(): this {
    if (!isObject(this.value)) this.report('must be a map');
    return this;
  }

  refuseOthers(): void {
    for (const key of isObject(this.value) ? Object.keys(this.value) : [])
      if (!this.#asked.has(key)) this.at(key).report('is not a known field');
  }

  text(otherwise: string, isRequired = false): string {
    if (this.value === undefined && isRequired) this.report('is required');
    if (this.value === undefined) return otherwise;
    if (typeof this.value !== 'string' || this.value.includes('\0')) this.report('must be a string');
    return String(this.value);
  }

  texts(form?: RegExp): string[] {
    if (this.value === undefined) return [];
    if (!Array.isArray(this.value)) {
      this.report('must be a list of strings');
      return [];
    }
    return this.value.map((item: unknown, i) => {
      const field = new Field(typeof item === 'number' && form ? String(item) : item, `${this.#path}[${i}]`, this.#problems);
      const text = field.text('', true);
      if (form !== undefined && !form.test(text)) field.report(`${JSON.stringify(text)} does not have the form ${form.source}`);
      return text;
    });
  }

  /** A map of strings; numbers and booleans are taken as they are written. */
  texting(): Record<string, string> {
    if (this.value === undefined) return {};
    if (!isObject(this.value)) {
      this.report('must be a map of strings');
      return {};
    }
    for (const [key, value] of Object.entries(this.value))
      if (typeof value === 'object' && value !== null) this.at(key).report('must be a string');
    return Object.fromEntries(Object.entries(this.value).map(([key, value]) => [key, String(value ?? '')]));
  }

  list<T>(read: (field: Field) => T): T[] {
    if (this.value === undefined) return [];
    if (!Array.isArray(this.value)) {
      this.report('must be a list');
      return [];
    }
    return this.value.map((item: unknown, i) => {
      const field = new Field(item, `${this.#path}[${i}]`, this.#problems).map();
      const result = read(field);
      field.refuseOthers();
      return result;
    });
  }

  flag(): boolean {
    if (this.value !== undefined && typeof this.value !== 'boolean') this.report('must be true or false');
    return this.value === true;
  }

  id(otherwise?: unknown): number {
    const value = this.value ?? otherwise;
    if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 0xffffffff) return value;
    this.report('must be a whole number from 0 to 4294967294');
    return 0;
  }

  mode(): number | undefined {
    if (this.value === undefined) return undefined;
    if (typeof this.value === 'string' && /^[0-7]{3,4}$/.test(this.value)) return Number.parseInt(this.value, 8);
    this.report('must be octal digits in quotes, as "0644"');
    return undefined;
  }

  path(): string {
    const path = this.text('', true);
    if (path !== '' && (!path.startsWith('/') || path.split('/').includes('..'))) this.report('must be an absolute path without ..');
    return path;
  }
}
