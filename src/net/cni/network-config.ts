import { readdirSync, readFileSync, statSync } from 'node:fs';
import { extname, join } from 'node:path';
import { messageOf, UmiakError } from '#base/errors.ts';
import { isObject } from '#base/json-object.ts';
import type { NetworkConfigList, PluginConfig } from './cni-types.ts';
import { chooseVersion } from './versions.ts';

const EXTENSIONS = ['.conflist', '.conf', '.json'];
const MAX_FILE_BYTES = 1 << 20;
const MAX_FILES = 256;
const MAX_PLUGINS = 64;
/** Of networks, and of container ids and link names in turn. */
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/** A network's configuration with the file that it was read from. */
export interface FoundNetwork {
  file: string;
  list: NetworkConfigList;
}

/** What a directory of configurations holds: the network that counts, and why files before it do not. */
export interface NetworkSearch {
  network?: FoundNetwork;
  refused: { file: string; message: string }[];
}

/** The first valid configuration of a directory, in lexical order of names. A directory that is not there holds none. */
export function findNetwork(directory: string): NetworkSearch {
  const refused: NetworkSearch['refused'] = [];
  for (const name of namesIn(directory).slice(0, MAX_FILES)) {
    const file = join(directory, name);
    try {
      const list = parseNetworkConfig(readBounded(file), { isList: extname(name) === '.conflist' });
      return { network: { file, list: withFolder(list, directory) }, refused };
    } catch (error) {
      refused.push({ file, message: messageOf(error) });
    }
  }
  return { refused };
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter(name => EXTENSIONS.includes(extname(name)))
      .sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function readBounded(file: string): string {
  const found = statSync(file);
  if (!found.isFile()) throw new UmiakError('Invalid', `${file} is no file`); // a fifo would hold whoever reads it
  const { size } = found;
  if (size > MAX_FILE_BYTES) throw new UmiakError('Invalid', `${file} has ${size} bytes; at most ${MAX_FILE_BYTES} are read`);
  return readFileSync(file, 'utf8');
}

/**
 * Reads a configuration list, or a single plugin's configuration as a list of one.
 * @throws UmiakError `Invalid` naming the field
 */
export function parseNetworkConfig(text: string, { isList }: { isList: boolean }): NetworkConfigList & { inlinedOnly: boolean } {
  const config = parseObject(text);
  const { name, disableCheck, disableGC, loadOnlyInlinedPlugins } = config;
  if (typeof name !== 'string' || !NAME.test(name))
    throw invalid('name', 'must begin with a letter or digit, then letters, digits, _ . -', name);
  const plugins = isList || 'plugins' in config ? (config.plugins ?? []) : [config];
  if (!Array.isArray(plugins) || plugins.length > MAX_PLUGINS)
    throw invalid('plugins', `must be a list of at most ${MAX_PLUGINS}`, plugins);
  const inlinedOnly = loadOnlyInlinedPlugins === true;
  if (plugins.length === 0 && inlinedOnly) throw invalid('plugins', 'must name a plugin', plugins);
  return {
    name,
    cniVersion: chooseVersion(config.cniVersion, config.cniVersions),
    disableCheck: isYes('disableCheck', disableCheck),
    disableGc: isYes('disableGC', disableGC),
    plugins: plugins.map(checkPlugin),
    inlinedOnly,
  };
}

/** Since 1.1: plugins of a list may stand in files of their own, in a folder that bears the network's name; they come after the inlined ones. */
function withFolder({ inlinedOnly, ...list }: NetworkConfigList & { inlinedOnly: boolean }, directory: string): NetworkConfigList {
  const folder = join(directory, list.name);
  const files = inlinedOnly || list.cniVersion !== '1.1.0' ? [] : namesIn(folder).filter(name => extname(name) === '.conf');
  const added = files.map((name, index) => checkPlugin(parseObject(readBounded(join(folder, name))), list.plugins.length + index));
  const plugins = [...list.plugins, ...added];
  if (plugins.length === 0) throw invalid('plugins', 'must name a plugin', []);
  return { ...list, plugins };
}

function checkPlugin(plugin: unknown, index: number): PluginConfig {
  const field = `plugins[${index}]`;
  if (!isObject(plugin)) throw invalid(field, 'must be an object', plugin);
  const { type, capabilities } = plugin;
  if (typeof type !== 'string' || type === '' || type.includes('/') || type.startsWith('.'))
    throw invalid(`${field}.type`, "must be the name of a plugin's program", type);
  if (capabilities !== undefined && !isObject(capabilities)) throw invalid(`${field}.capabilities`, 'must be an object', capabilities);
  return plugin as PluginConfig;
}

function parseObject(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UmiakError('Invalid', `it is no JSON: ${messageOf(error)}`);
  }
  if (isObject(value)) return value;
  throw new UmiakError('Invalid', 'it must be an object');
}

/** The spec has both forms, since early configurations were written by hand. */
function isYes(field: string, value: unknown): boolean {
  if (value === undefined || value === false || value === 'false') return false;
  if (value === true || value === 'true') return true;
  throw invalid(field, 'must be true or false', value);
}

function invalid(field: string, what: string, got: unknown): UmiakError {
  return new UmiakError('Invalid', `${field} ${what}, not ${JSON.stringify(got) ?? 'nothing'}`, { details: { kind: 'CNI configuration' } });
}
