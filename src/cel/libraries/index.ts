import { type FunctionTable, tableOf } from '../overload.ts';
import { authorizers } from './authorizer.ts';
import { conversions } from './conversions.ts';
import { core } from './core.ts';
import { encoders } from './encoders.ts';
import { formats } from './formats.ts';
import { lists } from './lists.ts';
import { math } from './math.ts';
import { network } from './network.ts';
import { quantities } from './quantity.ts';
import { regexes } from './regex.ts';
import { semvers } from './semver.ts';
import { sets } from './sets.ts';
import { strings } from './strings.ts';
import { urls } from './url.ts';

let table: FunctionTable | undefined;

/** Every function that expressions may call, by name. */
export function functionTable(): FunctionTable {
  table ??= tableOf(
    core,
    conversions,
    strings,
    lists,
    regexes,
    quantities,
    network,
    urls,
    formats,
    semvers,
    sets,
    math,
    encoders,
    authorizers,
  );
  return table;
}
