/** What the engine needs of other rooms; `main` injects it. */

/** The part of an image's configuration that a container inherits (OCI image spec, "config"). */
export interface ImageDefaults {
  User?: string;
  Env?: string[];
  Entrypoint?: string[];
  Cmd?: string[];
  WorkingDir?: string;
  StopSignal?: string;
  Volumes?: Record<string, object>;
  Labels?: Record<string, string>;
}

export interface ResolvedImage {
  /** Digest of the image's configuration. */
  imageId: string;
  /** The name it was asked for by, in canonical form. */
  reference: string;
  config: ImageDefaults;
  /** Unpacked layers for overlay, top first, at least one. */
  lowerDirs: string[];
}

export interface ImageSource {
  /**
   * An image by reference or id, unpacked. It stays unpacked while `LocalEngine.usesImage` says so.
   * @throws UmiakError `NotFound`
   */
  resolve(reference: string): Promise<ResolvedImage>;
}

/** A ready network namespace with its address and the IPC and UTS namespaces that go with it, each pinned on its path. */
export interface SandboxNetwork {
  id: string;
  path: string;
  ipc: string;
  uts: string;
  address: string;
  veth: string;
}

export type PinKind = 'net' | 'ipc' | 'uts';

/** The pool of pod networks, and pins for pods that have none (`NetworkPool` of `#net`). */
export interface SandboxNetworks {
  /** Called once: these are in use, everything else left by a former process goes. Returns those whose namespaces are gone. */
  adopt(records: readonly SandboxNetwork[], pinIds: readonly string[]): Promise<{ lost: SandboxNetwork[] }>;
  take(options: { hostname?: string }): Promise<SandboxNetwork>;
  release(network: { id: string }): Promise<void>;
  /** Namespaces without a pod network: loopback only, or the host's network with own IPC. */
  pinNamespaces(options: { id: string; kinds: readonly PinKind[]; hostname?: string }): Promise<Partial<Record<PinKind, string>>>;
  unpinNamespaces(id: string): Promise<void>;
}
