import { readFileSync } from 'node:fs';
import { ProtobufSchema, type ProtobufTable } from '#wire/protobuf-schema.ts';

/** The messages and services of CRI v1 (`types.gen.ts` has them as types). */
export const criSchema = new ProtobufSchema(
  JSON.parse(readFileSync(new URL('./protobuf.gen.json', import.meta.url), 'utf8')) as ProtobufTable,
);

export const RUNTIME_SERVICE = 'runtime.v1.RuntimeService';
export const IMAGE_SERVICE = 'runtime.v1.ImageService';
