import type { PublishedPort, SandboxConfig, UserNamespaceMappings } from './engine.ts';

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
  /** The user namespace that owns the others, where the sandbox has one. */
  user?: string;
}

export type PinKind = 'net' | 'ipc' | 'uts';

/** What of a sandbox the machine's CNI plugins may want to know. */
export interface CniSandbox {
  id: string;
  /** Its pinned network namespace, with loopback up and nothing else. */
  netns: string;
  metadata: { name: string; namespace: string; uid: string };
  ports?: readonly PublishedPort[] | undefined;
  dns?: SandboxConfig['dns'] | undefined;
  annotations?: Readonly<Record<string, string>> | undefined;
}

/** The machine's CNI plugins (`CniNetworks` of `#net/cni`). */
export interface CniSandboxes {
  /** Called once, before namespaces go: these sandboxes are attached; whatever else a former process attached is undone, whole or half. */
  adopt(sandboxIds: readonly string[]): Promise<void>;
  /** All or nothing. */
  attach(sandbox: CniSandbox): Promise<{ addresses: string[] }>;
  /** Twice is as good as once. */
  detach(sandboxId: string): Promise<void>;
}

/** Where namespaces are pinned, with the user namespace that owns them, if they have one of their own. */
export type Pins = Partial<Record<PinKind | 'user', string>>;

/** The pool of pod networks, and pins for pods that have none (`NetworkPool` of `#net`). */
export interface SandboxNetworks {
  /** Called once: these are in use, everything else left by a former process goes. Returns those whose namespaces are gone. */
  adopt(records: readonly SandboxNetwork[], pinIds: readonly string[]): Promise<{ lost: SandboxNetwork[] }>;
  take(options: { hostname?: string; userNamespace?: UserNamespaceMappings }): Promise<SandboxNetwork>;
  release(network: { id: string }): Promise<void>;
  /** Namespaces without a pod network: loopback only, or the host's network with own IPC. */
  pinNamespaces(options: {
    id: string;
    kinds: readonly PinKind[];
    hostname?: string;
    /** They are made in a new user namespace, which is pinned as `user`. */
    userNamespace?: UserNamespaceMappings;
  }): Promise<Pins>;
  unpinNamespaces(id: string): Promise<void>;
}
