import type { Reply } from './http-messages.ts';
import type { StreamOutcome } from './node-proxy.ts';

/** Sends a body as it comes, no faster than it is read. A body that breaks breaks the answer; a reader that leaves ends the body. */
export async function sendStream(
  reply: Reply,
  { status, headers, body }: StreamOutcome,
  more: Record<string, string | string[]> = {},
): Promise<void> {
  reply.onClose(() => body.destroy());
  if (reply.closed) return void body.destroy();
  reply.head(status, { ...headers, ...more });
  try {
    for await (const chunk of body) {
      if (!reply.write(chunk as Buffer)) await reply.drained();
      if (reply.closed) return;
    }
    reply.end();
  } catch {
    // It had begun: all that can be said is that it is not whole.
    reply.destroy();
  }
}
