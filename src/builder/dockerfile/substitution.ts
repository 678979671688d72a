import type { Dockerfile } from './parse.ts';
import { expandWord, type Lookup } from './words.ts';

/** Docker's own: they are there for RUN without ARG, and are no part of what a step is. */
const PROXIES = new Set(['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY'].flatMap(name => [name, name.toLowerCase()]));

/** What `--build-arg`s and ARGs say at some place of a Dockerfile. */
export class BuildArgs {
  readonly #given: ReadonlyMap<string, string>;
  readonly #globals: ReadonlyMap<string, string | undefined>;
  readonly #consumed: Set<string>;
  readonly #declared = new Map<string, string | undefined>();

  constructor(given: ReadonlyMap<string, string>, globals: ReadonlyMap<string, string | undefined>, consumed: Set<string>) {
    this.#given = given;
    this.#globals = globals;
    this.#consumed = consumed;
  }

  /** An ARG of a stage: what was given wins over its default, that over a global one. */
  declare(name: string, otherwise: string | undefined): void {
    this.#consumed.add(name);
    this.#declared.set(name, this.#given.get(name) ?? otherwise ?? this.#globals.get(name));
  }

  get(name: string): string | undefined {
    return this.#declared.get(name) ?? (PROXIES.has(name) ? this.#given.get(name) : undefined);
  }

  /** Declared ones with values that no ENV hides, as `name=value` in order. */
  visible(env: ReadonlyMap<string, string>): string[] {
    return [...this.#declared]
      .filter(([name, value]) => value !== undefined && !env.has(name))
      .map(([name, value]) => `${name}=${value}`)
      .sort();
  }

  /** Proxies that were given and not declared. */
  hidden(env: ReadonlyMap<string, string>): string[] {
    const names = [...this.#given.keys()].filter(name => PROXIES.has(name) && !this.#declared.has(name) && !env.has(name));
    return names.map(name => `${name}=${this.#given.get(name)}`);
  }
}

/** `ARG`s before the first FROM with their values; each may use those before it. @throws Invalid */
export function globalArgsOf(
  { globalArgs, escapeChar }: Dockerfile,
  given: ReadonlyMap<string, string>,
  consumed: Set<string>,
): Map<string, string | undefined> {
  const values = new Map<string, string | undefined>();
  for (const { instruction } of globalArgs) {
    if (instruction.keyword !== 'ARG') continue;
    for (const { name, value } of instruction.args) {
      consumed.add(name);
      values.set(name, given.get(name) ?? (value === undefined ? undefined : expandWord(value, key => values.get(key), escapeChar)));
    }
  }
  return values;
}

/** Names that were given and that nothing asked for. */
export function unconsumed(given: ReadonlyMap<string, string>, consumed: ReadonlySet<string>): string[] {
  return [...given.keys()].filter(name => !consumed.has(name) && !PROXIES.has(name)).sort();
}

/** `A=b` lists as maps; of a name that comes twice the last one counts, at the first one's place. */
export function envMap(env: readonly string[]): Map<string, string> {
  return new Map(env.map(entry => [entry.split('=', 1)[0] ?? '', entry.slice(entry.indexOf('=') + 1)]));
}

/** ENV first, then ARG. */
export function lookupOf(env: ReadonlyMap<string, string>, args: BuildArgs): Lookup {
  return name => env.get(name) ?? args.get(name);
}
