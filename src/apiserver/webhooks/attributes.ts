import type { Kind, KubeObject } from '#kinds/kind.ts';
import type { Identity } from '../identity.ts';
import { fromStored, type Served } from '../resources.ts';
import type { Write, WriteOptions } from '../write.ts';

/** Group, version and kind. */
export interface Gvk {
  group: string;
  version: string;
  kind: string;
}

/** What is asked to be admitted, as webhooks and their rules see it. */
export interface AdmissionAttributes {
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';
  readonly served: Served;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  readonly identity: Identity;
  readonly dryRun: boolean;
  readonly warnings: string[];
  /** Under Kubernetes' keys, for the audit log; absent while nobody writes one. */
  readonly annotations?: Record<string, string> | undefined;
  /** The kind of the objects, where it is not that of the resource (CONNECT's options). */
  readonly kind?: Gvk;
  /** What was asked for besides; absent: nothing. */
  readonly options?: WriteOptions | undefined;
  /** The objects in the version that `served` shows. */
  object(served: Served): KubeObject | null;
  old(served: Served): KubeObject | null;
}

/** A write in the webhooks' words. */
export function attributesOf(write: Write): AdmissionAttributes {
  const { served, namespace, name, identity, dryRun, warnings, annotations, admittedAs, options } = write;
  const { operation, subresource } = { operation: write.operation, subresource: write.subresource, ...admittedAs };
  const shown = (of: Served, object: KubeObject | undefined) => {
    if (!object) return null;
    return admittedAs ? admittedAs.show(object) : withGvk(of.kind, fromStored(of, object));
  };
  return {
    operation,
    served,
    subresource,
    namespace,
    name,
    identity,
    dryRun,
    warnings,
    annotations,
    options,
    ...(admittedAs && { kind: admittedAs.kind }),
    object: of => (operation === 'DELETE' ? null : shown(of, write.object)),
    old: of => (operation === 'CREATE' ? null : shown(of, write.old)),
  };
}

function withGvk({ resource: { group, version, kind } }: Kind, object: KubeObject): KubeObject {
  return { ...object, apiVersion: group ? `${group}/${version}` : version, kind };
}
