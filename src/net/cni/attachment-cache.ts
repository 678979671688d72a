import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { CniResult, NetworkConfigList } from './cni-types.ts';
import type { Attachment, ValidAttachment } from './plan-request.ts';

/** An attachment with the configuration it was made by: what DEL needs when that has changed or gone since. */
export interface CachedAttachment {
  list: NetworkConfigList;
  attachment: Attachment;
  /** Absent until ADD has ended. */
  result?: CniResult;
}

/** A file's shape; libcni's, with the list as we understood it. */
interface CacheFile {
  kind: 'cniCacheV1';
  containerId: string;
  ifName: string;
  networkName: string;
  netns: string;
  /** Base64. */
  config: string;
  cniArgs: [string, string][];
  capabilityArgs: Record<string, unknown>;
  result?: CniResult;
}

/** On disk, a file an attachment: written before the first plugin is called for it, removed after the last one has let go of it. */
export class AttachmentCache {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async write({ list, attachment, result }: CachedAttachment): Promise<void> {
    const { containerId, ifName, netns, args, capabilityArgs } = attachment;
    const file: CacheFile = {
      kind: 'cniCacheV1',
      containerId,
      ifName,
      networkName: list.name,
      netns,
      config: Buffer.from(JSON.stringify(list)).toString('base64'),
      cniArgs: args.map(([name, value]) => [name, value]),
      capabilityArgs,
      ...(result ? { result } : {}),
    };
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const path = this.#path(list, attachment);
    const handle = await open(`${path}.new`, 'w', 0o600);
    try {
      await handle.writeFile(JSON.stringify(file));
      await handle.datasync(); // a loss of power leaves what plugins hold on disk
    } finally {
      await handle.close();
    }
    await rename(`${path}.new`, path);
  }

  remove({ list, attachment }: CachedAttachment): void {
    rmSync(this.#path(list, attachment), { force: true });
  }

  /** Every attachment for which plugins may hold something. What a kill left half written goes. */
  read(): CachedAttachment[] {
    const names = namesIn(this.#directory);
    for (const name of names.filter(isHalf)) rmSync(join(this.#directory, name), { force: true });
    const whole = names.filter(name => !isHalf(name));
    return whole.flatMap(name => {
      const file = parse(readFileSync(join(this.#directory, name), 'utf8'));
      return file ? [toCached(file)] : [];
    });
  }

  #path({ name }: Pick<NetworkConfigList, 'name'>, { containerId, ifName }: Attachment): string {
    return join(this.#directory, `${name}-${containerId}-${ifName}`);
  }
}

/** A network's attachments that other runtimes of this machine remember, as libcni writes them. */
export function readForeignAttachments(directory: string, network: string): ValidAttachment[] {
  return namesIn(directory).flatMap(name => {
    const file = name.startsWith(`${network}-`) ? parse(readFileSync(join(directory, name), 'utf8')) : undefined;
    return file?.networkName === network ? [{ containerID: file.containerId, ifname: file.ifName }] : [];
  });
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function isHalf(name: string): boolean {
  return name.endsWith('.new');
}

function toCached({ containerId, ifName, netns, config, cniArgs, capabilityArgs, result }: CacheFile): CachedAttachment {
  return {
    list: JSON.parse(Buffer.from(config, 'base64').toString()) as NetworkConfigList,
    attachment: { containerId, ifName, netns, args: cniArgs, capabilityArgs },
    ...(result ? { result } : {}),
  };
}

/** A file that a loss of power cut off is none: its attachment was never made. */
function parse(text: string): CacheFile | undefined {
  try {
    const file = JSON.parse(text) as CacheFile;
    return file.kind === 'cniCacheV1' ? file : undefined;
  } catch {
    return undefined;
  }
}
