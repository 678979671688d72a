import { type Dirent, readdirSync, readFileSync, statSync } from 'node:fs';
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

/**
 * What the named devices change of a container, in order; a specification's own changes come once, before those of its devices.
 * @throws Invalid for a name that is none, NotFound naming the devices that no specification has, or that two of equal rank have
 */
export async function resolveCdiDevices(
  names: readonly string[],
  directories: readonly string[] = CDI_DIRECTORIES,
): Promise<ContainerEdits[]> {
  const wrong = names.find(name => !isDeviceName(name));
  if (wrong !== undefined)
    throw new UmiakError('Invalid', `CDI device ${JSON.stringify(wrong)}: a name must have the form vendor.com/class=name`);
  const { devices, problems } = await readSpecs(directories);
  const missing = [...new Set(names)].filter(name => !devices.has(name));
  if (missing.length > 0)
    throw new UmiakError('NotFound', `CDI device injection failed: unresolvable CDI devices ${missing.join(', ')}`, {
      hint: problems.length > 0 ? problems.slice(0, 5).join('; ') : `Specifications are looked for in ${directories.join(' and ')}.`,
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
async function readSpecs(directories: readonly string[]): Promise<{ devices: Map<string, Found>; problems: string[] }> {
  const devices = new Map<string, Found>();
  const problems: string[] = [];
  for (const directory of directories) {
    const here = new Map<string, Found>();
    const conflicts = new Map<string, string[]>();
    for (const file of filesIn(directory)) {
      try {
        const spec = await readSpec(file);
        for (const { name, edits } of spec.devices) {
          const full = `${spec.kind}=${name}`;
          const other = here.get(full);
          if (other) conflicts.set(full, [...(conflicts.get(full) ?? [other.file]), file]);
          here.set(full, { spec, file, edits });
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
  return { devices, problems };
}

async function readSpec(file: string): Promise<CdiSpec> {
  const { size, mode, uid } = statSync(file);
  if (size > MAX_FILE_BYTES) throw new UmiakError('Invalid', `has more than ${MAX_FILE_BYTES} bytes`);
  // It gives orders to the runtime, which is root.
  if (mode & WRITABLE_BY_OTHERS || (uid !== 0 && uid !== process.getuid?.()))
    throw new UmiakError('Invalid', 'can be written by others than root');
  const text = readFileSync(file, 'utf8');
  if (file.endsWith('.json')) return toCdiSpec(JSON.parse(text));
  const { parse } = await import('yaml');
  return toCdiSpec(parse(text, { maxAliasCount: 100 }));
}

function filesIn(directory: string): string[] {
  let entries: Dirent[];
  try {
    entries = readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  return entries
    .filter(entry => !entry.isDirectory() && /\.(json|ya?ml)$/.test(entry.name))
    .slice(0, MOST_FILES)
    .map(({ name }) => `${directory}/${name}`);
}
