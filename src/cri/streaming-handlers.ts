import type { CriContext, RuntimeHandlers } from './context.ts';
import { needContainer, needSandbox } from './lookup.ts';
import { StreamingServer } from './streaming-server.ts';
import type { AttachRequest, ExecRequest } from './types.gen.ts';

/** The methods that answer with a URL of the streaming server. */
export function streamingHandlers(context: CriContext): RuntimeHandlers {
  const { engine, clock, log, stack } = context;
  const server = stack.use(new StreamingServer({ engine, clock, log }));
  const idOf = (id: string | undefined) => needContainer(context, id).id;
  return {
    async Exec({ containerId, cmd = [], ...asked }) {
      return { url: await server.exec({ containerId: idOf(containerId), command: cmd, ...toWanted(asked) }) };
    },
    async Attach({ containerId, ...asked }) {
      return { url: await server.attach({ containerId: idOf(containerId), ...toWanted(asked) }) };
    },
    async PortForward({ podSandboxId, port = [] }) {
      return { url: await server.portForward({ sandboxId: needSandbox(context, podSandboxId).id, ports: port }) };
    },
  };
}

function toWanted({
  stdin = false,
  stdout = false,
  stderr = false,
  tty = false,
}: Pick<ExecRequest & AttachRequest, 'stdin' | 'stdout' | 'stderr' | 'tty'>) {
  return { stdin, stdout, stderr, tty };
}
