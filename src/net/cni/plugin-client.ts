import { connect } from 'node:net';
import { join } from 'node:path';
import { CniFailure, MAX_LINE_BYTES, type PluginReply, type PluginRequest } from './plugin-protocol.ts';
import { CNI_VERSIONS } from './versions.ts';

const DEFAULT_RUN_DIR = '/run/umiak';
const TIMEOUT_MS = 60_000;

export interface PluginProcess {
  env: NodeJS.ProcessEnv;
  /** The whole of its standard input. */
  input: string;
}

/** Our plugin as a runtime runs it: `CNI_*` and a configuration go in, a result or an error comes out. Loads nothing of the rest of the house. */
export async function runAsPlugin({ env, input }: PluginProcess): Promise<{ output: string; exitCode: number }> {
  let cniVersion = '1.1.0';
  try {
    const { CNI_COMMAND: command = '' } = env;
    if (command === 'VERSION') return { output: JSON.stringify({ cniVersion, supportedVersions: CNI_VERSIONS }), exitCode: 0 };
    const config = parse(input);
    if (typeof config.cniVersion === 'string') cniVersion = config.cniVersion;
    const reply = await ask(socketOf(config, env), toRequest(command, env, config));
    if ('error' in reply) throw new CniFailure(reply.error.code, reply.error.msg);
    return { output: reply.ok === null ? '' : JSON.stringify(reply.ok), exitCode: 0 };
  } catch (error) {
    const code = error instanceof CniFailure ? error.code : 999;
    return { output: JSON.stringify({ cniVersion, code, msg: (error as Error).message }), exitCode: 1 };
  }
}

function toRequest(command: string, env: NodeJS.ProcessEnv, config: Record<string, unknown>): PluginRequest {
  const { CNI_CONTAINERID: containerId, CNI_NETNS: netns, CNI_IFNAME: ifName } = env;
  return {
    command: command as PluginRequest['command'],
    ...(containerId !== undefined ? { containerId } : {}),
    ...(netns !== undefined ? { netns } : {}),
    ...(ifName !== undefined ? { ifName } : {}),
    config,
  };
}

/** `socket` of the configuration, else the instance's of the environment, else the usual one. */
function socketOf({ socket }: Record<string, unknown>, { UMIAK_RUN_DIR }: NodeJS.ProcessEnv): string {
  return typeof socket === 'string' ? socket : join(UMIAK_RUN_DIR || DEFAULT_RUN_DIR, 'cni.sock');
}

function parse(input: string): Record<string, unknown> {
  let config: unknown;
  try {
    config = JSON.parse(input);
  } catch {
    throw new CniFailure('decodingFailure', 'the configuration on standard input is no JSON');
  }
  if (typeof config === 'object' && config !== null && !Array.isArray(config)) return config as Record<string, unknown>;
  throw new CniFailure('decodingFailure', 'the configuration on standard input is no object');
}

function ask(path: string, request: PluginRequest): Promise<PluginReply> {
  const { promise, resolve, reject } = Promise.withResolvers<PluginReply>();
  const code = request.command === 'STATUS' ? 'notAvailable' : 'tryAgainLater';
  const fail = (why: string) => reject(new CniFailure(code, `the agent of Umiak behind ${path} ${why}`));
  const socket = connect(path, () => socket.write(`${JSON.stringify(request)}\n`));
  let answer = '';
  socket.setEncoding('utf8');
  socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error('does not answer')));
  socket.on('error', error => fail(`can't be asked: ${error.message}`));
  socket.on('data', (chunk: string) => {
    answer += chunk;
    if (answer.length > MAX_LINE_BYTES) socket.destroy(new Error('says too much'));
  });
  socket.on('close', () => {
    try {
      resolve(JSON.parse(answer) as PluginReply);
    } catch {
      fail('ended before it had answered');
    }
  });
  return promise;
}
