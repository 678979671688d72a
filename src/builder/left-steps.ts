import type { Engine } from '#engine/index.ts';

/** Removes the containers of steps that a killed process left. To be called once, before the first build. */
export async function removeLeftSteps(engine: Engine): Promise<void> {
  await Promise.all(engine.sandboxes({ internal: true }).map(({ id }) => engine.removeSandbox(id)));
}
