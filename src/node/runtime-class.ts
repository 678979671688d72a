import { UmiakError } from '#base/index.ts';
import type { Client } from '#client/index.ts';
import type { SandboxConfig } from '#engine/engine.ts';
import type { Pod } from '#kinds/pod.ts';
import { RuntimeClass } from '#kinds/runtime-class.ts';

type Runtime = NonNullable<SandboxConfig['runtime']>;

/** Handlers of RuntimeClasses that this node has: the names of the programs. */
const HANDLERS: readonly Runtime[] = ['crun', 'runc'];

/** The runtime that the pod's RuntimeClass chooses; undefined for the node's own choice. @throws `NotFound`, `Invalid` */
export async function runtimeOf({ spec }: Pod, client: Pick<Client, 'get'>): Promise<Runtime | undefined> {
  if (!spec.runtimeClassName) return undefined;
  const found = await client.get(RuntimeClass, { name: spec.runtimeClassName });
  if (!found) throw new UmiakError('NotFound', `RuntimeClass "${spec.runtimeClassName}" not found`);
  const handler = HANDLERS.find(name => name === found.handler);
  if (!handler) throw new UmiakError('Invalid', `no runtime for "${found.handler}" is configured: this node has ${HANDLERS.join(' and ')}`);
  return handler;
}
