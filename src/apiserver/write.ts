import type { KubeObject } from '#kinds/kind.ts';
import type { Condition, Write as StoreWrite } from '#store/store.ts';
import type { DeleteOptions } from './deletion.ts';
import type { Identity } from './identity.ts';
import type { Stored } from './resources.ts';

/** One attempt to change one object, as admission and the steps before the commit see it. Objects are in the stored version. */
export interface Write {
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE';
  readonly served: Stored;
  readonly namespace: string;
  name: string;
  readonly subresource: string;
  readonly identity: Identity;
  readonly dryRun: boolean;
  /** Sentences for `Warning:` headers. */
  readonly warnings: string[];
  /** For the audit log, under Kubernetes' keys; absent while nobody writes one. */
  readonly annotations?: Record<string, string> | undefined;
  /** What admission is shown instead; absent: the object itself. */
  readonly admittedAs?: AdmittedAs | undefined;
  readonly options?: WriteOptions | undefined;
  object: KubeObject;
  readonly old: KubeObject | undefined;
  /** What else must hold when this is committed, and what is written with it. */
  readonly conditions: Condition[];
  readonly writes: StoreWrite[];
}

/** Whose write it is, to which object. */
export interface Target {
  served: Stored;
  namespace: string;
  /** Empty for a creation that generates it. */
  name: string;
  subresource: string;
  identity: Identity;
  /** Whose the written fields are, and through which subresource; absent: nobody's. */
  owner?: { manager: string; subresource: string };
  dryRun: boolean;
  warnings: string[];
  /** For the audit log; absent while nobody writes one. */
  annotations?: Record<string, string> | undefined;
  /** What admission is shown instead of the object. */
  admittedAs?: AdmittedAs;
  /** What the client asked for besides. */
  options?: WriteOptions | undefined;
}

/** What of `CreateOptions`, `UpdateOptions` or `DeleteOptions` admission is shown besides the dry run. */
export interface WriteOptions extends DeleteOptions {
  fieldManager?: string;
  fieldValidation?: string;
}

/** A subresource whose objects are not the objects that are written: a `Scale`, a `Binding`, an `Eviction`. */
export interface AdmittedAs {
  readonly operation?: Write['operation'];
  readonly subresource: string;
  readonly kind: { group: string; version: string; kind: string };
  /** What stands for an object in the stored version. */
  show(object: KubeObject): KubeObject;
  /** Takes over into the object what admission made of it; absent: it can't be changed. */
  take?(object: KubeObject, shown: KubeObject): void;
}

/** Looks at a write before it is committed: `mutate` may change the object, `validate` only refuse it. */
export interface AdmissionPlugin {
  readonly name: string;
  mutate?(write: Write): void | Promise<void>;
  validate?(write: Write): void | Promise<void>;
}

/** Reserves with the write what it needs of the cluster (addresses, ports, quota), and gives it back with the deletion. */
export interface Claims {
  /** May change the object (fill in an address) and add conditions and writes. */
  claim(write: Write): void | Promise<void>;
  /** A claimed key was taken by somebody else meanwhile; the write is tried again. */
  lost?(condition: Condition): void;
  /** A claimed write was not committed: it was refused, lost, changed nothing or was a dry run. */
  release?(write: Write): void;
}
