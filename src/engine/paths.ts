import { existsSync, readdirSync } from 'node:fs';

/** These two keep one directory a container, named by its id. */
const PLAIN_RUNTIMES = ['crun', 'runc'];
/** No handler's name makes this one of our own directories. */
const RUNTIME_PREFIX = 'runtime-';

/** Where everything of one instance's engine lies. What must outlive a reboot is below `dataDir`, the rest below `runDir`. */
export class EnginePaths {
  readonly dataDir: string;
  readonly sandboxes: string;
  readonly containers: string;
  readonly bundles: string;
  readonly exits: string;
  /** Held by the one engine that acts on all this. */
  readonly lock: string;
  /** What containers with user namespaces see, until they run. */
  readonly mapped: string;
  /** Runtimes as they are run, while this process lives. */
  readonly programs: string;
  /** Layers that lie below all others. */
  readonly floors: string;
  /** The root file system of pause containers. */
  readonly pauseRoot: string;

  readonly #runDir: string;

  constructor({ dataDir, runDir }: { dataDir: string; runDir: string }) {
    this.dataDir = dataDir;
    this.sandboxes = `${dataDir}/engine/sandboxes`;
    this.containers = `${dataDir}/engine/containers`;
    this.bundles = `${runDir}/engine/bundles`;
    this.pauseRoot = `${dataDir}/engine/pause`;
    this.floors = `${dataDir}/engine/floors`;
    this.exits = `${runDir}/engine/exits`;
    this.mapped = `${runDir}/engine/mapped`;
    this.programs = `${runDir}/engine/programs`;
    this.lock = `${runDir}/engine/lock`;
    this.#runDir = runDir;
  }

  /** The runtime's own state (`--root`). */
  runtimeRoot(runtime: string): string {
    return `${this.#runDir}/engine/${PLAIN_RUNTIMES.includes(runtime) ? runtime : `${RUNTIME_PREFIX}${runtime}`}`;
  }

  /** Those that there are, of runtimes that are configured and of others that were. */
  runtimeRoots(): string[] {
    const names = existsSync(`${this.#runDir}/engine`) ? readdirSync(`${this.#runDir}/engine`) : [];
    return names
      .filter(name => PLAIN_RUNTIMES.includes(name) || name.startsWith(RUNTIME_PREFIX))
      .map(name => `${this.#runDir}/engine/${name}`);
  }

  sandbox(id: string): string {
    return `${this.sandboxes}/${id}`;
  }

  container(id: string): string {
    return `${this.containers}/${id}`;
  }

  /** The container's root file system, mounted. */
  rootfs(id: string): string {
    return `${this.containers}/${id}/merged`;
  }

  /** What it wrote over its image. */
  writable(id: string): string {
    return `${this.containers}/${id}/upper`;
  }

  /** config.json, conmon's pid files, fifos and attach socket. */
  bundle(id: string): string {
    return `${this.bundles}/${id}`;
  }

  exit(id: string): string {
    return `${this.exits}/${id}`;
  }
}
