import { statSync } from 'node:fs';
import { type Reason, UmiakError } from '#base/errors.ts';
import { CNI_ERRORS, type CniCommand, type CniError, type CniResult, type NetworkConfigList, type PluginConfig } from './cni-types.ts';
import { type Attachment, hasCommand, planEnvironment, planRequest, type ValidAttachment } from './plan-request.ts';
import { findPlugin, runPlugin } from './plugin-process.ts';
import { parseError, parseResult, parseVersions } from './result.ts';
import { isAtLeast } from './versions.ts';

export interface PluginChainOptions {
  binDirs: readonly string[];
  /** For each plugin. */
  timeoutMs: number;
  env?: NodeJS.ProcessEnv;
}

interface Extras {
  attachment?: Attachment;
  prevResult?: CniResult | undefined;
  valid?: ValidAttachment[];
}

/** Calls a network's plugins one after the other, each with what the one before it answered (spec, section 3 and 4). */
export class PluginChain {
  readonly #options: PluginChainOptions;
  /** Versions by program, with its time and size. */
  readonly #spoken = new Map<string, string[]>();

  constructor(options: PluginChainOptions) {
    this.#options = options;
  }

  /** @throws UmiakError with the plugin's words; what the plugins before it did is undone by `del`, which the caller calls */
  async add(list: NetworkConfigList, attachment: Attachment): Promise<CniResult> {
    let prevResult: CniResult | undefined;
    for (const plugin of list.plugins) {
      const answer = await this.#call('ADD', list, plugin, { attachment, prevResult });
      prevResult = readResult(list, plugin, answer) ?? prevResult;
    }
    return prevResult ?? { cniVersion: list.cniVersion };
  }

  /** In reverse order; the first that fails ends it, and another call begins anew. */
  async del(list: NetworkConfigList, attachment: Attachment, result: CniResult | undefined): Promise<void> {
    const prevResult = isAtLeast(list.cniVersion, '0.4.0') ? result : undefined;
    for (const plugin of list.plugins.toReversed()) await this.#call('DEL', list, plugin, { attachment, prevResult });
  }

  /** @throws UmiakError when a plugin finds its work undone */
  async check(list: NetworkConfigList, attachment: Attachment, prevResult: CniResult | undefined): Promise<void> {
    if (!hasCommand(list, 'CHECK')) return;
    for (const plugin of list.plugins) await this.#call('CHECK', list, plugin, { attachment, prevResult });
  }

  /** Every plugin is called, whatever another says. @throws UmiakError with the words of all that failed */
  async gc(list: NetworkConfigList, valid: ValidAttachment[]): Promise<void> {
    if (!hasCommand(list, 'GC')) return;
    const ended = await Promise.allSettled(list.plugins.map(plugin => this.#call('GC', list, plugin, { valid })));
    const errors = ended.flatMap(each => (each.status === 'rejected' ? [each.reason as Error] : []));
    if (errors.length > 0) throw new UmiakError('InternalError', errors.map(({ message }) => message).join('; '), { cause: errors[0] });
  }

  /** @throws UmiakError when a plugin can't do ADD now, or not in the list's version */
  async status(list: NetworkConfigList): Promise<void> {
    for (const plugin of list.plugins) {
      await this.#checkVersion(list, plugin);
      if (hasCommand(list, 'STATUS')) await this.#call('STATUS', list, plugin, {});
    }
  }

  /** Asks each program once which versions it speaks, and anew when it was replaced. */
  async #checkVersion(list: NetworkConfigList, plugin: PluginConfig): Promise<void> {
    const file = await findPlugin(plugin.type, this.#options.binDirs);
    const { mtimeMs, size } = statSync(file);
    const key = `${file} ${mtimeMs} ${size}`;
    const spoken = this.#spoken.get(key) ?? parseVersions(await this.#call('VERSION', list, plugin, {}));
    this.#spoken.set(key, spoken);
    if (spoken.includes(list.cniVersion)) return;
    throw new UmiakError(
      'Invalid',
      `CNI plugin ${file} speaks ${spoken.join(', ') || 'no version'}, not ${list.cniVersion} of network ${list.name}`,
      {
        hint: "Lower the configuration's cniVersion, or install a newer plugin.",
      },
    );
  }

  async #call(command: CniCommand, list: NetworkConfigList, plugin: PluginConfig, { attachment, ...extras }: Extras): Promise<string> {
    const { binDirs, timeoutMs, env = process.env } = this.#options;
    const file = await findPlugin(plugin.type, binDirs);
    const input = JSON.stringify(
      planRequest(list, plugin, { ...extras, ...(attachment ? { capabilityArgs: attachment.capabilityArgs } : {}) }),
    );
    const end = await runPlugin({
      file,
      env: planEnvironment(command, { binDirs, base: env, ...(attachment ? { attachment } : {}) }),
      input,
      timeoutMs,
    });
    if (end.exitCode === 0 && !end.killedFor) return end.stdout;
    const what = `CNI plugin ${plugin.type} of network ${list.name} failed to ${command}${attachment ? ` ${attachment.containerId.slice(0, 13)}` : ''}`;
    if (end.killedFor === 'time') throw new UmiakError('Timeout', `${what}: it took longer than ${timeoutMs / 1000} s and was killed`);
    if (end.killedFor === 'output') throw new UmiakError('InternalError', `${what}: it wrote more than an answer can be and was killed`);
    const error = parseError(end.stdout);
    throw error ? toUmiakError(what, error) : new UmiakError('InternalError', `${what}: ${wordsOf(end)}`);
  }
}

function readResult(list: NetworkConfigList, plugin: PluginConfig, answer: string): CniResult | undefined {
  try {
    return parseResult(answer);
  } catch (error) {
    throw new UmiakError(
      'InternalError',
      `CNI plugin ${plugin.type} of network ${list.name} answered ADD wrongly: ${(error as Error).message}`,
    );
  }
}

function wordsOf({ exitCode, stdout, stderr }: { exitCode: number; stdout: string; stderr: string }): string {
  const words = stderr || stdout.trim().slice(0, 1_000);
  return `${words || 'it said nothing'} (exit code ${exitCode})`;
}

/** The plugin's error with the house's reason. */
function toUmiakError(what: string, { code, msg, details }: CniError): UmiakError {
  const text = [msg || 'no message', ...(details ? [details] : [])].join(': ');
  return new UmiakError(REASONS.get(code) ?? 'InternalError', `${what}: ${text} (code ${code})`);
}

const REASONS = new Map<number, Reason>([
  [CNI_ERRORS.incompatibleVersion, 'Invalid'],
  [CNI_ERRORS.unsupportedField, 'Invalid'],
  [CNI_ERRORS.unknownContainer, 'NotFound'],
  [CNI_ERRORS.invalidConfig, 'Invalid'],
  [CNI_ERRORS.tryAgainLater, 'ServiceUnavailable'],
  [CNI_ERRORS.notAvailable, 'ServiceUnavailable'],
  [CNI_ERRORS.limitedConnectivity, 'ServiceUnavailable'],
]);
