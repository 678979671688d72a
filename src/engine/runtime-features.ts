import { execFile } from 'node:child_process';
import { release } from 'node:os';
import { promisify } from 'node:util';
import type { RuntimeType } from './runtime-handlers.ts';

const TIMEOUT_MS = 10_000;

/** The parts of the OCI runtime's features document (runtime-spec, "Features structure") that are looked at. */
export interface OciFeatures {
  ociVersionMax?: string;
  mountOptions?: string[];
  linux?: { mountExtensions?: { idmap?: { enabled?: boolean } } };
}

/** What a runtime handler can do, in the words of CRI's `RuntimeHandlerFeatures`. */
export interface RuntimeFeatures {
  name: string;
  type: RuntimeType;
  /** First line of what the program says of its version. */
  version?: string;
  recursiveReadOnlyMounts: boolean;
  userNamespaces: boolean;
  /** The program's own document, where it has one. */
  document?: OciFeatures;
}

export interface FeatureFacts {
  name: string;
  type: RuntimeType;
  version: string;
  document?: OciFeatures | undefined;
  /** `uname -r`. */
  kernel: string;
}

/** Judges what the program tells; one without a document is known by its type. Pure. */
export function planFeatures({ name, type, version, document, kernel }: FeatureFacts): RuntimeFeatures {
  // mount_setattr(2), by which both are done.
  const [major = 0, minor = 0] = kernel.split(/[.-]/).map(Number);
  const hasSetattr = major > 5 || (major === 5 && minor >= 12);
  const isKnown = document === undefined && type === 'crun';
  return {
    name,
    type,
    ...(version === '' ? {} : { version }),
    recursiveReadOnlyMounts: hasSetattr && (isKnown || (document?.mountOptions?.includes('rro') ?? false)),
    // These two join ours by its path; their mounts have the right owners already.
    userNamespaces: hasSetattr && (type === 'crun' || type === 'runc' || (document?.linux?.mountExtensions?.idmap?.enabled ?? false)),
    ...(document ? { document } : {}),
  };
}

/** Asks a program once. One that has no `features`, as crun before 1.9, is judged by what its type is known for. */
export async function readFeatures(name: string, type: RuntimeType, path: string): Promise<RuntimeFeatures> {
  const [version, text] = await Promise.all([ask(path, '--version'), ask(path, 'features')]);
  return planFeatures({ name, type, version: version.split('\n')[0]?.trim() ?? '', document: toDocument(text), kernel: release() });
}

function toDocument(text: string): OciFeatures | undefined {
  try {
    const document: unknown = JSON.parse(text);
    return typeof document === 'object' && document !== null ? document : undefined;
  } catch {
    return undefined;
  }
}

/** Nothing from a program that fails. */
async function ask(path: string, verb: string): Promise<string> {
  try {
    return (await promisify(execFile)(path, [verb], { timeout: TIMEOUT_MS, killSignal: 'SIGKILL', maxBuffer: 1 << 20 })).stdout;
  } catch {
    return '';
  }
}
