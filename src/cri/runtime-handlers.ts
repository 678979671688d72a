import { isIP } from 'node:net';
import { isUmiakError, messageOf } from '#base/errors.ts';
import type { CriContext, RuntimeHandlers } from './context.ts';
import { needContainer } from './lookup.ts';
import { invalidField } from './refuse.ts';
import type { RuntimeCondition, RuntimeHandler } from './types.gen.ts';
import { toInfo } from './verbose.ts';

/** CRI's own version, which clients compare with theirs. */
const KUBE_API_VERSION = '0.1.0';

/** The methods that are about the runtime itself. */
export function runtimeHandlers(context: CriContext): RuntimeHandlers {
  const { engine, version } = context;
  /** What the kubelet last told of the cluster. */
  let podCidr = '';
  return {
    async Version() {
      return { version: KUBE_API_VERSION, runtimeName: 'umiak', runtimeVersion: version, runtimeApiVersion: 'v1' };
    },

    async Status({ verbose = false }) {
      const [runtime, network, handlers] = await Promise.all([runtimeCondition(context), networkCondition(context), handlersOf(context)]);
      const { scope, network: kind, dataDir } = context;
      return {
        status: { conditions: [runtime, network] },
        runtimeHandlers: handlers,
        features: { supplementalGroupsPolicy: true, userNamespacesHostNetwork: false },
        ...(verbose ? { info: toInfo({ version, scope, network: kind, podCidr, dataDir, runtimes: engine.runtimeHandlers() }) } : {}),
      };
    },

    async UpdateRuntimeConfig({ runtimeConfig }) {
      const wanted = runtimeConfig?.networkConfig?.podCidr ?? '';
      const ranges = wanted.split(',').filter(Boolean);
      for (const range of ranges)
        if (!isCidr(range)) throw invalidField('runtime_config.network_config.pod_cidr', `${JSON.stringify(range)} is no network`);
      // Our own pool has its addresses by configuration, CNI plugins by theirs: the range is known, and moves nobody.
      podCidr = wanted;
      return {};
    },

    async RuntimeConfig() {
      return { linux: { cgroupDriver: engine.cgroupDriver === 'systemd' ? 'SYSTEMD' : 'CGROUPFS' } };
    },

    async CheckpointContainer({ containerId = '', location = '', timeout = 0 }) {
      await engine.checkpoint(needContainer(context, containerId).id, { location, ...(timeout > 0 ? { timeoutMs: timeout * 1000 } : {}) });
      return {};
    },
  };
}

async function runtimeCondition({ engine }: CriContext): Promise<RuntimeCondition> {
  try {
    await engine.runtimeReady();
    return { type: 'RuntimeReady', status: true };
  } catch (error) {
    return { type: 'RuntimeReady', status: false, reason: 'RuntimeNotFound', message: messageOf(error) };
  }
}

async function networkCondition({ networkStatus }: CriContext): Promise<RuntimeCondition> {
  const { isReady, reason, message } = await networkStatus();
  return { type: 'NetworkReady', status: isReady, reason, message };
}

/** The default handler has the empty name. */
async function handlersOf({ engine }: CriContext): Promise<RuntimeHandler[]> {
  const found = await Promise.all(['', ...engine.runtimeHandlers()].map(name => toHandler(engine, name)));
  return found.filter(handler => handler !== undefined);
}

async function toHandler(engine: CriContext['engine'], name: string): Promise<RuntimeHandler | undefined> {
  try {
    const { recursiveReadOnlyMounts, userNamespaces } = await engine.runtimeFeatures(name);
    return { name, features: { recursiveReadOnlyMounts, userNamespaces } };
  } catch (error) {
    if (isUmiakError(error)) return undefined;
    throw error;
  }
}

function isCidr(text: string): boolean {
  const [address = '', bits = ''] = text.split('/');
  const version = isIP(address);
  return version !== 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128);
}
