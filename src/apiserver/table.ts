import type { Column, KubeObject } from '#kinds/kind.ts';
import type { Media } from './media.ts';
import type { Served } from './resources.ts';

interface Table {
  kind: 'Table';
  apiVersion: 'meta.k8s.io/v1';
  metadata?: object;
  columnDefinitions: object[];
  rows: { cells: unknown[]; object?: unknown }[];
}

const NAME_AND_AGE: Column<KubeObject>[] = [
  { name: 'Name', type: 'string', format: 'name', value: ({ metadata }) => metadata.name },
  { name: 'Created At', type: 'date', value: ({ metadata }) => metadata.creationTimestamp },
];

/** `kubectl get`'s view: cells that the server fills. `includeObject`: `None`, `Metadata` or `Object` beside them. */
export function toTable(served: Served, objects: KubeObject[], includeObject: string, nowMs: number): Table {
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    columnDefinitions: columnsOf(served).map(({ name, type, format = '', description = '', priority = 0 }) => ({
      name,
      type,
      format,
      description,
      priority,
    })),
    rows: objects.map(object => toRow(served, object, includeObject, nowMs)),
  };
}

/** One object's row. */
export function toRow(served: Served, object: KubeObject, includeObject: string, nowMs: number): Table['rows'][number] {
  return {
    cells: columnsOf(served).map(column => column.value(object, nowMs) ?? null),
    ...(includeObject !== 'None' && { object: includeObject === 'Object' ? object : toPartial(object) }),
  };
}

function columnsOf({ kind }: Served): Column<KubeObject>[] {
  return kind.columns?.length ? kind.columns : NAME_AND_AGE;
}

/** The object's metadata alone. */
export function toPartial({ metadata }: KubeObject): object {
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata };
}

/** A table or metadata in the version that was asked for. */
export function inMetaVersion<T extends object>({ isBeta }: Media, shown: T): T {
  return isBeta ? { ...shown, apiVersion: 'meta.k8s.io/v1beta1' } : shown;
}
