import { type Field, schemaData } from '#kinds/schema-data.ts';

/** A source of numbers in [0, 1) that the seed decides (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** For tests: a value of the schema's type with about half of its fields, none of them zero or empty. */
export function generateObject(type: string, random: () => number, depth = 0): unknown {
  const name = type.split('.').at(-1)!;
  const number = (most: number) => 1 + Math.floor(random() * most);
  if (name === 'Time') return new Date(number(4e12)).toISOString().replace(/\.\d+Z/, 'Z');
  if (name === 'MicroTime') return new Date(number(4e12)).toISOString().replace('Z', `${100 + number(800)}Z`);
  if (name === 'Quantity') return `${number(5000)}${['', 'm', 'Mi', 'k'][number(4) - 1]}`;
  if (name === 'IntOrString') return random() < 0.5 ? number(70000) - 100 : `${number(100)}%`;
  if (name === 'FieldsV1' || name === 'RawExtension') return { 'f:a': {}, b: [number(9), 'ü'] };
  if (name === 'JSON') return [{ a: 'b' }, [1, 2], 'text', 4, true][number(5) - 1];
  if (name.startsWith('JSONSchemaPropsOr')) return { type: 'string' };
  const fields = schemaData().types[type]?.fields ?? {};
  const object: Record<string, unknown> = {};
  for (const [key, field] of Object.entries(fields)) {
    if (key === 'apiVersion' || key === 'kind') continue;
    if (random() < (depth > 6 ? 0.05 : depth > 3 ? 0.2 : 0.5)) object[key] = generateField(field, random, depth);
  }
  return object;
}

function generateField(field: Field, random: () => number, depth: number): unknown {
  const number = (most: number) => 1 + Math.floor(random() * most);
  if (field.ref)
    return depth > 8 && !/Time|Quantity|IntOr|JSON|Raw|FieldsV1/.test(field.ref) ? {} : generateObject(field.ref, random, depth + 1);
  if (field.items) return Array.from({ length: number(3) }, () => generateField(field.items!, random, depth + 1));
  if (field.values)
    return Object.fromEntries(
      Array.from({ length: number(3) }, () => [`k-${number(99)}`, generateField(field.values!, random, depth + 1)]),
    );
  if (field.type === 'boolean') return true;
  if (field.type === 'integer')
    return field.format === 'int64' ? number(2 ** 52) * (random() < 0.2 ? -1 : 1) : number(2 ** 31 - 1) * (random() < 0.2 ? -1 : 1);
  if (field.type === 'number') return random() * 1e6;
  if (field.format === 'byte') return Buffer.from(`bytes ${number(1e6)}`).toString('base64');
  return ['x', 'some text of more than sixty-four bytes, so that the other way of writing it is taken, too', 'grün ✓'][number(3) - 1];
}
