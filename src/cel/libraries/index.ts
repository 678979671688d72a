import { type FunctionTable, tableOf } from '../overload.ts';
import { conversions } from './conversions.ts';
import { core } from './core.ts';

let table: FunctionTable | undefined;

/** Every function that expressions may call, by name. */
export function functionTable(): FunctionTable {
  table ??= tableOf(core, conversions);
  return table;
}
