import { UmiakError } from '#base/index.ts';
import type { Client } from '#client/index.ts';
import type { Pod } from '#kinds/pod.ts';
import { RuntimeClass } from '#kinds/runtime-class.ts';

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
