import { readFileSync } from 'node:fs';
import { type Form, formOf } from './forms.ts';

type Row = [name: string, type: string, what?: 'list' | 'map' | 'optional' | 'inline'];

export type Scalar = 'string' | 'bytes' | 'bool' | 'int32' | 'int64' | 'uint32' | 'uint64' | 'double';

/** One field of a message: where it stands on the wire and in the JSON object. */
export interface FieldPlan {
  readonly number: number;
  readonly name: string;
  readonly scalar: Scalar | undefined;
  readonly what: Row[2];
  /** Of the message it holds; absent for scalars. */
  readonly message: MessagePlan | undefined;
}

/** How one type of the API stands on the wire. */
export interface MessagePlan {
  /** For types whose JSON is no object of their fields: all that there is to know. */
  readonly form: Form | undefined;
  /** The highest number first: messages are written from their end. */
  readonly fields: readonly FieldPlan[];
  readonly byNumber: readonly (FieldPlan | undefined)[];
}

const SCALARS = new Set<string>(['string', 'bytes', 'bool', 'int32', 'int64', 'uint32', 'uint64', 'double'] satisfies Scalar[]);
const plans = new Map<string, MessagePlan>();
let table: Record<string, Record<string, Row>> | undefined;

/** The plan of a type of the schema (`io.k8s.api.core.v1.Pod`), made when first asked for; undefined when it has no protobuf form. */
export function messagePlan(type: string): MessagePlan | undefined {
  const known = plans.get(type);
  if (known) return known;
  table ??= JSON.parse(readFileSync(new URL('./protobuf.gen.json', import.meta.url), 'utf8')) as Record<string, Record<string, Row>>;
  const rows = table[type];
  if (!rows) return undefined;
  const fields = Object.entries(rows)
    .map(([number, row]) => toField(Number(number), row))
    .sort((a, b) => b.number - a.number);
  const byNumber: (FieldPlan | undefined)[] = Array.from({ length: (fields[0]?.number ?? 0) + 1 });
  for (const field of fields) byNumber[field.number] = field;
  const plan = { form: formOf(type), fields, byNumber };
  plans.set(type, plan);
  return plan;
}

function toField(number: number, [name, type, what]: Row): FieldPlan {
  if (SCALARS.has(type)) return { number, name, what, scalar: type as Scalar, message: undefined };
  // Types may hold themselves, and most are never met: looked up when the first value comes.
  let message: MessagePlan | undefined;
  return {
    number,
    name,
    what,
    scalar: undefined,
    get message() {
      message ??= messagePlan(type);
      return message;
    },
  };
}
