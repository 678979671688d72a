import { UmiakError } from '#base/index.ts';
import type { Client } from '#client/index.ts';
import type { Engine } from '#engine/engine.ts';
import type { Node } from '#kinds/node.ts';
import type { Pod } from '#kinds/pod.ts';
import { RuntimeClass } from '#kinds/runtime-class.ts';

type HandlerStatus = NonNullable<NonNullable<Node['status']>['runtimeHandlers']>[number];

/** What the Node says of its handlers: the node's own choice, which has no name, and all that can be named. */
export async function handlersOf(engine: Pick<Engine, 'runtimeHandlers' | 'runtimeFeatures'>): Promise<HandlerStatus[]> {
  const known = await Promise.all(
    engine.runtimeHandlers().map(async name => {
      const { recursiveReadOnlyMounts, userNamespaces } = await engine.runtimeFeatures(name);
      return { name, features: { recursiveReadOnlyMounts, userNamespaces } };
    }),
  );
  return known.flatMap((handler, index) => (index === 0 ? [{ ...handler, name: '' }, handler] : [handler]));
}

/** The handler that the pod's RuntimeClass names, one of this node's; undefined for the node's own choice. @throws `NotFound`, `Invalid` */
export async function runtimeOf(
  { spec }: Pod,
  client: Pick<Client, 'get'>,
  handlers: () => readonly string[],
): Promise<string | undefined> {
  if (!spec.runtimeClassName) return undefined;
  const found = await client.get(RuntimeClass, { name: spec.runtimeClassName });
  if (!found) throw new UmiakError('NotFound', `RuntimeClass "${spec.runtimeClassName}" not found`);
  const here = handlers();
  if (here.includes(found.handler)) return found.handler;
  throw new UmiakError('Invalid', `no runtime for "${found.handler}" is configured: this node has ${here.join(', ')}`, {
    hint: 'Install its program, or name it in `runtimes` of the configuration file.',
  });
}
