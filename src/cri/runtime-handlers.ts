import type { CriContext, RuntimeHandlers } from './context.ts';

/** CRI's own version, which clients compare with theirs. */
const KUBE_API_VERSION = '0.1.0';

/** The methods that are about the runtime itself. */
export function runtimeHandlers({ version }: CriContext): RuntimeHandlers {
  return {
    async Version() {
      return { version: KUBE_API_VERSION, runtimeName: 'umiak', runtimeVersion: version, runtimeApiVersion: 'v1' };
    },
    async Status() {
      return {
        status: {
          conditions: [
            { type: 'RuntimeReady', status: true },
            { type: 'NetworkReady', status: true },
          ],
        },
      };
    },
  };
}
