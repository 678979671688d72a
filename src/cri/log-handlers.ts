import type { CriContext, RuntimeHandlers } from './context.ts';
import { needContainer } from './lookup.ts';

/** `ReopenContainerLog`: a kubelet has renamed the log, and wants the next lines in a new one. */
export function logHandlers(context: CriContext): RuntimeHandlers {
  return {
    async ReopenContainerLog({ containerId }) {
      await context.engine.reopenLog(needContainer(context, containerId).id);
      return {};
    },
  };
}
