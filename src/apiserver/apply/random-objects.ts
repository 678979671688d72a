import type { Kind, KubeObject } from '#kinds/kind.ts';
import { type Field, fieldsOf, rootTypeOf, schemaData } from '#kinds/schema-data.ts';

/** For tests: objects of a kind with any of its fields, and ways to take them apart. */
export class RandomObjects {
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  below(most: number): number {
    return Math.floor(this.#random() * most);
  }

  chance(probability: number): boolean {
    return this.#random() < probability;
  }

  object(kind: Kind): KubeObject {
    const { group, version, kind: name } = kind.resource;
    const object = this.#struct(rootTypeOf(kind)?.fields ?? {}, 0, 0.7) as unknown as KubeObject;
    delete (object as { status?: unknown }).status;
    const { labels, annotations, finalizers } = (object.metadata ?? {}) as KubeObject['metadata'];
    object.metadata = {
      name: 'x',
      ...(labels && { labels }),
      ...(annotations && { annotations }),
      ...(finalizers && { finalizers }),
    } as never;
    return Object.assign(object, { apiVersion: group ? `${group}/${version}` : version, kind: name });
  }

  /** A value of a named type, with every field of the API. */
  typed(type: string): Record<string, unknown> {
    return this.#struct(schemaData().types[type]?.fields ?? {}, 0, 0.7);
  }

  #struct(fields: Record<string, Field>, depth: number, density: number): Record<string, unknown> {
    const result: Record<string, unknown> = {};
    for (const [name, field] of Object.entries(fields)) {
      if (depth > 0 && !this.chance(density)) continue;
      const value = this.#value(field, depth + 1);
      if (value !== undefined) result[name] = value;
    }
    // What is empty is nobody's concern: whether it is there depends on the type in Go.
    return Object.fromEntries(Object.entries(result).filter(([, value]) => !isEmptyValue(value)));
  }

  #value(field: Field, depth: number): unknown {
    if (depth > 9) return undefined;
    const fields = fieldsOf(field);
    if (fields) return this.#struct(fields, depth, depth < 4 ? 0.5 : 0.15);
    const many = () => Array.from({ length: 1 + this.below(3) });
    if (field.type === 'array') {
      const items = field.items ?? {};
      const keys = field['list-map-keys'];
      if (field['list-type'] === 'set') return [...new Set(many().map(() => this.#word()))];
      return many().map((_, index) => {
        const item = this.#value(items, depth + 1);
        if (!keys || typeof item !== 'object' || item === null) return item;
        const types = fieldsOf(items) ?? {};
        for (const key of keys) Object.assign(item, { [key]: types[key]?.type === 'integer' ? index : `${key}<${index}>` });
        return item;
      });
    }
    if (field.type === 'map')
      return Object.fromEntries(many().map(() => [this.#word(), this.#value(field.values ?? {}, depth + 1) ?? 'x']));
    if (field.type === 'integer' || field.type === 'number') return this.below(4);
    if (field.type === 'boolean') return this.chance(0.5);
    return this.#word();
  }

  #word(): string {
    return ['a', 'b', 'a.b/c', '"q"', '__proto__x', 'é', '1'][this.below(7)]!;
  }

  /** The object with some leaves changed, added or taken away. */
  changed<T>(value: T): T {
    if (Array.isArray(value)) {
      const kept = value.filter(() => this.chance(0.9));
      return kept.map(item => (typeof item === 'object' ? this.changed(item) : item)) as T;
    }
    if (typeof value !== 'object' || value === null)
      return (this.chance(0.2) ? (typeof value === 'string' ? this.#word() : value) : value) as T;
    const kept = Object.entries(value).filter(([name, inner]) => isName(name, inner) || this.chance(0.9));
    const made = kept.map(([name, inner]) => [name, isName(name, inner) ? inner : this.changed(inner)]);
    return Object.fromEntries(made.filter(([, inner]) => !isEmptyValue(inner))) as T;
  }
}

/** What tells items apart, and what the object is: another one would be another item. */
function isName(name: string, value: unknown): boolean {
  return name === 'apiVersion' || name === 'kind' || name === 'metadata' || typeof value === 'number' || String(value).includes('<');
}

function isEmptyValue(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}
