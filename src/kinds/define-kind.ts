import { UmiakError } from '#base/errors.ts';
import { ageOf } from './duration.ts';
import type { Column, Kind, KubeObject, Resource } from './kind.ts';
import { resourceOf, typeNameOf } from './schema-data.ts';

/** What one cell of `kubectl get` shows. */
export type Cell<T> = (object: T, nowMs: number) => string | number | boolean | null | undefined;

/** The hand-written part of a kind. Columns' names and types come from the schema; `cells` gives their values by name. */
export interface Behaviour<T extends KubeObject> extends Omit<Kind<T>, 'resource' | 'type' | 'columns'> {
  cells?: Record<string, Cell<T>>;
}

/** Joins the schema's row of `apps/v1/Deployment` (or `v1/Pod`) with what people wrote about it. The schema is read when first asked. */
export function defineKind<T extends KubeObject>(gvk: string, { cells = {}, ...behaviour }: Behaviour<T> = {}): Kind<T> {
  let columns: Column<T>[] | undefined;
  return {
    ...behaviour,
    get resource(): Resource {
      return resourceOf(gvk);
    },
    get type(): string {
      const name = typeNameOf(gvk);
      if (!name) throw new UmiakError('InternalError', `the schema has no type for ${gvk}`);
      return name;
    },
    get columns(): Column<T>[] {
      columns ??= columnsOf(resourceOf(gvk), cells);
      return columns;
    },
  };
}

/** Cells that mean the same for every kind. */
const commonCells: Record<string, Cell<KubeObject>> = {
  Name: object => object.metadata.name,
  Age: (object, nowMs) => ageOf(object.metadata.creationTimestamp, nowMs),
  'Created At': object => object.metadata.creationTimestamp,
};

function columnsOf<T extends KubeObject>(resource: Resource, cells: Record<string, Cell<T>>): Column<T>[] {
  const rows: NonNullable<Resource['columns']> = resource.columns ?? [
    { name: 'Name', type: 'string', format: 'name' },
    { name: 'Age', type: 'string' },
  ];
  return rows.flatMap(({ name, type, format, priority }) => {
    const value = cells[name] ?? commonCells[name];
    if (!value) return [];
    return [{ name, type: type as Column<T>['type'], ...(format ? { format } : {}), ...(priority ? { priority } : {}), value }];
  });
}
