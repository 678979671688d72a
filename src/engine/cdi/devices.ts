import type { Dirent } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { messageOf, UmiakError } from '#base/errors.ts';
import { type CdiSpec, type ContainerEdits, isDeviceName, toCdiSpec } from './spec.ts';

/** Later ones go before earlier ones: what is made at run time before what stands there for good. */
export const CDI_DIRECTORIES: readonly string[] = ['/etc/cdi', '/var/run/cdi'];
const MAX_FILE_BYTES = 1 << 20;
const MOST_FILES = 1024;
const WRITABLE_BY_OTHERS = 0o022;

interface Found {
  spec: CdiSpec;
  file: string;
  edits: ContainerEdits;
}

interface KnownSpec {
  /** Tells one state of its file from another. */
  state: string;
  spec: CdiSpec;
}

interface Devices {
  devices: Map<string, Found>;
  problems: string[];
}

/** The devices that specifications on this machine describe. Each file is read again only when it has changed. */
export class CdiDevices {
  readonly #directories: readonly string[];
  #specs = new Map<string, KnownSpec>();

  constructor(directories: readonly string[] = CDI_DIRECTORIES) {
    this.#directories = directories;
  }

  /**
   * What the named devices change of a container, in order; a specification's own changes come once, before those of its devices.
   * @throws Invalid for a name that is none, NotFound naming the devices that no specification has, or that two of equal rank have
   */
  async resolve(names: readonly string[]): Promise<ContainerEdits[]> {
    const wrong = names.find(name => !isDeviceName(name));
    if (wrong !== undefined)
      throw new UmiakError('Invalid', `CDI device ${JSON.stringify(wrong)}: a name must have the form vendor.com/class=name`);
    const { devices, problems } = await this.#read();
    const missing = [...new Set(names)].filter(name => !devices.has(name));
    if (missing.length > 0)
      throw new UmiakError('NotFound', `CDI device injection failed: unresolvable CDI devices ${missing.join(', ')}`, {
        hint:
          problems.length > 0 ? problems.slice(0, 5).join('; ') : `Specifications are looked for in ${this.#directories.join(' and ')}.`,
      });
    const edits = new Set<ContainerEdits>();
    for (const name of new Set(names)) {
      const found = devices.get(name)!;
      edits.add(found.spec.edits);
      edits.add(found.edits);
    }
    return [...edits];
  }

  /** All devices by full name, and what kept a file or a name from being taken. */
  async #read(): Promise<Devices> {
    const devices = new Map<string, Found>();
    const problems: string[] = [];
    const specs = new Map<string, KnownSpec>();
    for (const directory of this.#directories) {
      const here = new Map<string, Found>();
      const conflicts = new Map<string, string[]>();
      for (const file of await filesIn(directory)) {
        try {
          const known = await readSpec(file, this.#specs.get(file));
          specs.set(file, known);
          for (const { name, edits } of known.spec.devices) {
            const full = `${known.spec.kind}=${name}`;
            const other = here.get(full);
            if (other) conflicts.set(full, [...(conflicts.get(full) ?? [other.file]), file]);
            here.set(full, { spec: known.spec, file, edits });
          }
        } catch (error) {
          problems.push(`${file}: ${messageOf(error)}`);
        }
      }
      for (const [name, found] of here) devices.set(name, found);
      for (const [name, files] of conflicts) {
        devices.delete(name);
        problems.push(`${name} is in ${files.join(' and ')}`);
      }
    }
    this.#specs = specs;
    return { devices, problems };
  }
}

/** The same as `known` while the file is. @throws Invalid */
async function readSpec(file: string, known: KnownSpec | undefined): Promise<KnownSpec> {
  const found = await stat(file, { bigint: true });
  if (!found.isFile()) throw new UmiakError('Invalid', 'is no file');
  if (found.size > MAX_FILE_BYTES) throw new UmiakError('Invalid', `has more than ${MAX_FILE_BYTES} bytes`);
  // It gives orders to the runtime, which is root.
  const isOurs = found.uid === 0n || Number(found.uid) === process.getuid?.();
  if (!isOurs || Number(found.mode) & WRITABLE_BY_OTHERS) throw new UmiakError('Invalid', 'can be written by others than root');
  const state = [found.dev, found.ino, found.size, found.mtimeNs, found.ctimeNs].join();
  if (known?.state === state) return known;
  const text = await readFile(file, 'utf8');
  if (file.endsWith('.json')) return { state, spec: toCdiSpec(JSON.parse(text)) };
  const { parse } = await import('yaml');
  return { state, spec: toCdiSpec(parse(text, { maxAliasCount: 100 })) };
}

async function filesIn(directory: string): Promise<string[]> {
  let entries: Dirent[];
  try {
    entries = await readdir(directory, { withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  return entries
    .filter(entry => !entry.isDirectory() && /\.(json|ya?ml)$/.test(entry.name))
    .slice(0, MOST_FILES)
    .map(({ name }) => `${directory}/${name}`);
}
