import { isAbsolute } from 'node:path';
import { UmiakError } from '#base/errors.ts';

/** What kind of program a runtime is. `oci`: nothing is taken for granted but OCI's own verbs. */
export type RuntimeType = 'crun' | 'runc' | 'runsc' | 'oci';

/** A runtime as it is configured, by the name that RuntimeClasses call `handler`. */
export interface RuntimeHandler {
  type: RuntimeType;
  /** Absolute; the program of the type's name where programs lie when absent. */
  path?: string;
  /** Options before the verb, after our own. */
  args?: string[];
}

export type RuntimeHandlers = Readonly<Record<string, RuntimeHandler>>;

const TYPES: readonly RuntimeType[] = ['crun', 'runc', 'runsc', 'oci'];

/** What needs no configuration, where it is installed. */
export const BUILT_IN_HANDLERS: RuntimeHandlers = { crun: { type: 'crun' }, runc: { type: 'runc' }, runsc: { type: 'runsc' } };

/** A map of handlers as a configuration file has it, beside the built-in ones. @throws Invalid with the path of what is wrong */
export function toRuntimeHandlers(configured: unknown): RuntimeHandlers {
  return { ...BUILT_IN_HANDLERS, ...Object.fromEntries(Object.entries(toMap(configured, 'runtimes')).map(toHandler)) };
}

function toHandler([name, value]: [string, unknown]): [string, RuntimeHandler] {
  const at = `runtimes.${name}`;
  if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name)) throw invalid(at, 'must be named by a DNS label');
  const { type, path, args, ...others } = toMap(value, at);
  const [other] = Object.keys(others);
  if (other !== undefined) throw invalid(`${at}.${other}`, 'is unknown; there are type, path, args');
  const known = TYPES.find(each => each === type);
  if (known === undefined) throw invalid(`${at}.type`, `must be one of ${TYPES.join(', ')}`);
  if (path !== undefined && !(typeof path === 'string' && isAbsolute(path))) throw invalid(`${at}.path`, 'must be an absolute path');
  if (known === 'oci' && path === undefined) throw invalid(`${at}.path`, 'is required for the type oci');
  return [
    name,
    { type: known, ...(path === undefined ? {} : { path }), ...(args === undefined ? {} : { args: toArgs(args, `${at}.args`) }) },
  ];
}

function toArgs(args: unknown, at: string): string[] {
  if (!Array.isArray(args) || !args.every((arg): arg is string => typeof arg === 'string' && arg.startsWith('-')))
    throw invalid(at, 'must be a list of options, each with its value as --option=value');
  const ours = args.find(arg => /^--?(root|systemd-cgroup)\b/.test(arg));
  if (ours !== undefined) throw invalid(at, `must not have ${ours.split('=')[0]}, which is said by umiak`);
  return args;
}

function toMap(value: unknown, at: string): Record<string, unknown> {
  if (value === undefined || value === null) return {};
  if (typeof value !== 'object' || Array.isArray(value)) throw invalid(at, 'must be a map');
  return value as Record<string, unknown>;
}

function invalid(at: string, what: string): UmiakError {
  return new UmiakError('Invalid', `${at} ${what}`, { hint: 'See the setting `runtimes` in ARCHITECTURE.md.' });
}
