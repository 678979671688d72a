import type { ProtobufWriter } from '#wire/protobuf-writer.ts';
import type { FieldPlan, MessagePlan } from './plan.ts';

/** Writes the fields that the JSON value has; what it lacks is zero to every reader. What has not the type's shape is written as nothing or zero. */
export function writeMessage(writer: ProtobufWriter, plan: MessagePlan, value: unknown): void {
  if (plan.form) plan.form.write(writer, value);
  if (plan.form || typeof value !== 'object' || value === null) return;
  const object = value as Record<string, unknown>;
  for (const field of plan.fields) {
    if (field.what === 'inline') {
      writeValue(writer, field, object);
      continue;
    }
    const given = object[field.name];
    if (given === undefined || given === null) continue;
    if (field.what === 'list') {
      if (!Array.isArray(given)) continue;
      for (let i = given.length - 1; i >= 0; i--) writeValue(writer, field, given[i] ?? (field.scalar ? undefined : {}));
    } else if (field.what === 'map') writeMap(writer, field, given as Record<string, unknown>);
    else writeValue(writer, field, given);
  }
}

/** Sorted by key, as others write maps: the same object gives the same bytes. */
function writeMap(writer: ProtobufWriter, field: FieldPlan, map: Record<string, unknown>): void {
  const entry = { ...field, number: 2, message: field.message };
  for (const key of Object.keys(map).sort().reverse()) {
    const before = writer.length;
    writeValue(writer, entry, map[key]);
    writer.stringField(1, key);
    writer.closeField(field.number, before);
  }
}

function writeValue(writer: ProtobufWriter, { number, scalar, message }: FieldPlan, value: unknown): void {
  if (scalar === undefined) {
    if (!message) return;
    const before = writer.length;
    writeMessage(writer, message, value);
    writer.closeField(number, before);
  } else if (scalar === 'string') writer.stringField(number, typeof value === 'string' ? value : String(value ?? ''));
  else if (scalar === 'bytes') writer.bytesField(number, Buffer.from(typeof value === 'string' ? value : '', 'base64'));
  else if (scalar === 'bool') writer.integerField(number, value === true ? 1 : 0);
  else if (scalar === 'double') writer.doubleField(number, Number(value ?? 0));
  else writer.integerField(number, Number(value ?? 0));
}
