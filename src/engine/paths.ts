/** Where everything of one instance's engine lies. What must outlive a reboot is below `dataDir`, the rest below `runDir`. */
export class EnginePaths {
  readonly sandboxes: string;
  readonly containers: string;
  readonly bundles: string;
  readonly exits: string;
  /** Held by the one engine that acts on all this. */
  readonly lock: string;
  /** The root file system of pause containers. */
  readonly pauseRoot: string;

  readonly #runDir: string;

  constructor({ dataDir, runDir }: { dataDir: string; runDir: string }) {
    this.sandboxes = `${dataDir}/engine/sandboxes`;
    this.containers = `${dataDir}/engine/containers`;
    this.bundles = `${runDir}/engine/bundles`;
    this.pauseRoot = `${dataDir}/engine/pause`;
    this.exits = `${runDir}/engine/exits`;
    this.lock = `${runDir}/engine/lock`;
    this.#runDir = runDir;
  }

  /** The runtime's own state (`--root`). */
  runtimeRoot(runtime: string): string {
    return `${this.#runDir}/engine/${runtime}`;
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
