import { ageOf } from '#kinds/duration.ts';
import type { Column, KubeObject } from '#kinds/kind.ts';
import type { CustomResourceColumnDefinition } from '#kinds/types.gen.ts';
import { compileJsonPath } from './json-path.ts';

const NAME: Column<KubeObject> = {
  name: 'Name',
  type: 'string',
  format: 'name',
  description: 'Name must be unique within a namespace.',
  value: ({ metadata }) => metadata.name,
};
const AGE: Column<KubeObject> = {
  name: 'Age',
  type: 'date',
  description: 'When the object was created.',
  value: ({ metadata }, nowMs) => ageOf(metadata.creationTimestamp, nowMs),
};

/** The columns of `kubectl get`: the name, then what the definition names, or else the age. */
export function columnsOf(definitions: readonly CustomResourceColumnDefinition[] | undefined): Column<KubeObject>[] {
  if (!definitions?.length) return [NAME, AGE];
  return [NAME, ...definitions.map(toColumn)];
}

function toColumn({ name, type, format, description, priority, jsonPath }: CustomResourceColumnDefinition): Column<KubeObject> {
  const find = compileJsonPath(jsonPath);
  return {
    name,
    type: type as Column<KubeObject>['type'],
    ...(format && { format }),
    ...(description && { description }),
    ...(priority && { priority }),
    value: (object, nowMs) => cellOf(type, find(object)[0], nowMs),
  };
}

/** A found value as its column's type has it; null where it has no such form. */
export function cellOf(type: string, value: unknown, nowMs: number): string | number | boolean | null {
  if (value === undefined || value === null) return null;
  switch (type) {
    case 'integer':
      return typeof value === 'number' ? Math.trunc(value) : null;
    case 'number':
      return typeof value === 'number' ? value : null;
    case 'boolean':
      return typeof value === 'boolean' ? value : null;
    case 'date':
      return typeof value === 'string' ? (Number.isNaN(Date.parse(value)) ? '<invalid>' : ageOf(value, nowMs)) : null;
    default:
      return typeof value === 'string' ? value : JSON.stringify(value);
  }
}
